-- Puts a taken work entry back at the end of its stream, for any worker of the group.
--
-- KEYS  1 work stream  2 attempts      ARGV  1 group  2 entry id  3 attempt field  4 attempt token
if redis.call('HGET', KEYS[2], ARGV[3]) ~= ARGV[4] then return end
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if not entry then return end
redis.call('XADD', KEYS[1], '*', unpack(entry[2]))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
