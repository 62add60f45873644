-- Says that a piece of work is still being done.
--
-- KEYS  1 stream of taken work  2 attempts
-- ARGV  1 group  2 consumer  3 entry id  4 attempt field  5 attempt token
-- Returns 1, or 0 when the attempt is no longer the current one: cancelled, or taken over.
if redis.call('HGET', KEYS[2], ARGV[4]) ~= ARGV[5] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1
