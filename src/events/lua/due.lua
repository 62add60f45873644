-- Delayed work that is due by the server's clock, and waiting work that goes ahead of others by now.
--
-- KEYS  1 delayed  2 deadlines      ARGV  1 most pieces of each
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local function due(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, ARGV[1])
end
return {due(KEYS[1]), due(KEYS[2])}
