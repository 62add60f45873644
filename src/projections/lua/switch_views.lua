-- Serves the next edition of the views, if it has got as far as the one that is served.
--
-- KEYS  1 served edition  2 its checkpoint  3 the next one's checkpoint  4 its owner  5 the next one's owner
--       6 the aggregates that the served edition passes over
-- ARGV  1 served edition  2 the next
-- Returns 1, or 0 when nothing was changed. Both owners are put out: they begin again, where they now belong.
if (redis.call('GET', KEYS[1]) or '1') ~= ARGV[1] then return 0 end
local has_got_to = tonumber(redis.call('GET', KEYS[2]) or '0')
-- An owner that has read nothing would not notice.
if has_got_to == 0 then return 1 end
if tonumber(redis.call('GET', KEYS[3]) or '0') < has_got_to then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2], KEYS[4], KEYS[5], KEYS[6])
return 1
