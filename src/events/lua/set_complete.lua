-- Notes that a partition's queues hold all open work, and lets go of them.
--
-- KEYS  1 builder  2 queues complete      ARGV  1 token
-- Returns 1, or 0 when somebody else builds them.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], 1)
redis.call('DEL', KEYS[1])
return 1
