-- Makes room for the next owner, if this one still is it.
--
-- KEYS  1 owner      ARGV  1 token
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
