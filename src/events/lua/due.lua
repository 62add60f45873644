-- Delayed work that is due by the server's clock.
--
-- KEYS  1 delayed      ARGV  1 most pieces
local now = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000), 'LIMIT', 0, ARGV[1])
