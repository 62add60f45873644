-- Puts taken work back in front of all that waits, if its attempt is still the current one.
--
-- KEYS  1 stream of taken work  2 attempts  3 waiting
-- ARGV  1 group  2 entry id  3 attempt field  4 attempt token  5 doorbell channel  6 what to ring
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if not entry then return end
if redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[4] then
  redis.call('ZADD', KEYS[3], -1, order_of(0, 0) .. entry[2][2])
  redis.call('PUBLISH', ARGV[5], ARGV[6])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
