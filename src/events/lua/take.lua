-- Hands out up to COUNT pieces of the work of one stage and priority that waits in one partition.
--
-- KEYS  1 waiting  2 turns  3 stream of taken work      ARGV  1 group  2 consumer  3 count
-- Returns {how many still wait, entries as XREADGROUP gives them}.
local waiting, turns, stream = KEYS[1], KEYS[2], KEYS[3]
local popped = redis.call('ZPOPMIN', waiting, ARGV[3])
local left = redis.call('ZCARD', waiting)
if #popped == 0 then return {left, {}} end
for i = 1, #popped, 2 do
  redis.call('XADD', stream, '*', 'work', string.sub(popped[i], 21))
end
if left == 0 then
  redis.call('DEL', turns)
elseif tonumber(popped[#popped]) >= 0 then
  redis.call('HSET', turns, '', popped[#popped])
end
local function read()
  return redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', #popped / 2, 'STREAMS', stream, '>')
end
local reply = read()
if reply.err then
  if not string.find(reply.err, 'NOGROUP', 1, true) then return reply end
  redis.call('XGROUP', 'CREATE', stream, ARGV[1], '0')
  reply = read()
end
return {left, reply[1][2]}
