-- Becomes the owner of a version of the views in one partition, or goes on being it.
--
-- KEYS  1 owner  2 checkpoint      ARGV  1 token  2 how long it holds, in ms
-- Returns the checkpoint, or nothing when somebody else is the owner.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return tonumber(redis.call('GET', KEYS[2]) or '0')
