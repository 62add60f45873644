-- Gives up an unfinished edition of the views that nobody fills. The next rebuild begins under another number.
--
-- KEYS  1 served edition  2 next edition  3 its owner  4 its checkpoint  5 the aggregates that it passes over
-- ARGV  1 next edition
-- Returns 1, or 0 when there is none, or somebody fills it.
local served = tonumber(redis.call('GET', KEYS[1]) or '1')
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] or tonumber(ARGV[1]) <= served then return 0 end
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('INCR', KEYS[2])
redis.call('DEL', KEYS[4], KEYS[5])
return 1
