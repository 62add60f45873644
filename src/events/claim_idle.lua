-- Takes over work entries of one stage in one partition whose lease has run out.
--
-- KEYS  the stage's work streams     ARGV  1 group  2 consumer  3 lease in ms  4 most entries of a stream
-- Returns {index of the stream (from 1), entry id, fields} for each. The next call finds what is left.
local group, consumer, lease, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local claimed = {}
for index, stream in ipairs(KEYS) do
  if redis.call('EXISTS', stream) == 1 then
    local reply = redis.pcall('XAUTOCLAIM', stream, group, consumer, lease, '0-0', 'COUNT', most)
    if reply.err then
      if not string.find(reply.err, 'NOGROUP', 1, true) then return reply end
    else
      for _, found in ipairs(reply[2]) do
        claimed[#claimed + 1] = {index, found[1], found[2]}
      end
    end
  end
end
return claimed
