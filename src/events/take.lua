-- Takes up to COUNT new work entries of one stage in one partition, the most urgent first.
--
-- KEYS  the stage's work streams, most urgent first     ARGV  1 group  2 consumer  3 count
-- Returns {index of the stream (from 1), entry id, fields} for each.
local group, consumer, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3])
local taken = {}

local function read(stream)
  return redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', wanted - #taken, 'STREAMS', stream, '>')
end

for index, stream in ipairs(KEYS) do
  if #taken >= wanted then break end
  -- An empty stream needs no group yet; asking first keeps idle polls read-only.
  if redis.call('EXISTS', stream) == 1 then
    local reply = read(stream)
    if type(reply) == 'table' and reply.err then
      if not string.find(reply.err, 'NOGROUP', 1, true) then return reply end
      redis.call('XGROUP', 'CREATE', stream, group, '0')
      reply = read(stream)
    end
    if reply and reply[1] then
      for _, found in ipairs(reply[1][2]) do
        taken[#taken + 1] = {index, found[1], found[2]}
      end
    end
  end
end
return taken
