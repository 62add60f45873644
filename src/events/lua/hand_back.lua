-- Puts taken work back in front of all that waits, if it is still this attempt's.
--
-- KEYS  1 stream of taken work  2 waiting
-- ARGV  1 group  2 entry id  3 doorbell channel  4 what to ring
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return end
redis.call('XDEL', KEYS[1], ARGV[2])
if entry then
  redis.call('ZADD', KEYS[2], -1, order_of(0, 0) .. entry[2][2])
  redis.call('PUBLISH', ARGV[3], ARGV[4])
end
