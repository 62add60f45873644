-- Queues one piece of open work while a partition's queues are built again from its log.
--
-- KEYS  1 delayed  2 waiting  3 turns
-- ARGV  1 order  2 requester  3 delay in ms  4 pointer
if ARGV[3] == '0' then
  enqueue(KEYS[2], KEYS[3], ARGV[1], ARGV[4], ARGV[2])
else
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3], ARGV[4])
end
