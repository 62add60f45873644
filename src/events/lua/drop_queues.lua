-- Throws a partition's queues away, before they are built again from its log.
--
-- KEYS  1 builder  2 head, then the keys to delete      ARGV  1 token  2 how long the builder holds, in ms
-- Returns the partition's last sequence number: what is appended after it queues its own work. Nothing when somebody
-- else builds them.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
return tonumber(redis.call('GET', KEYS[2]) or '0')
