-- Puts delayed work that is due on its stage's stream.
--
-- KEYS  1 delayed work     ARGV  1 doorbell channel  2 partition  3 most pieces
-- Returns how many pieces were released.
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000), 'LIMIT', 0, ARGV[3])
local woken = {}
for i, piece in ipairs(due) do
  local stage, stream, pointer = unpack(cjson.decode(piece))
  redis.call('XADD', stream, '*', unpack(pointer))
  redis.call('ZREM', KEYS[1], piece)
  woken[i] = stage
end
if #due > 0 then
  redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. table.concat(woken, ','))
end
return #due
