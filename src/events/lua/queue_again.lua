-- Queues one piece of open work while a partition's queues are built again from its log.
--
-- KEYS  1 delayed  2 attempts  3 waiting  4 turns
-- ARGV  1 order  2 attempt field  3 token  4 requester  5 delay in ms  6 pointer
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if ARGV[5] == '0' then
  enqueue(KEYS[3], KEYS[4], ARGV[1], ARGV[6], ARGV[4])
else
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[5], ARGV[6])
end
