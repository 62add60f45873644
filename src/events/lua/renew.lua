-- Says that a piece of work is still being done.
--
-- KEYS  1 stream of taken work  2 open
-- ARGV  1 group  2 consumer  3 entry id  4 aggregate id
-- Returns 1, or 0 when the work is not wanted any more: its job has ended, or somebody has taken it over.
if redis.call('SISMEMBER', KEYS[2], ARGV[4]) == 0 then return 0 end
local claimed = redis.pcall('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
if claimed.err then return 0 end
return #claimed
