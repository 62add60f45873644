-- Events of one aggregate after a version, in one round trip.
--
-- KEYS  1 log  2 history        ARGV  1 version to start after  2 last version, or -1 for all
-- (List indexes count from 0, so the index after version v is v, and that of version w is w - 1.)
-- Returns the entries as XRANGE gives them; the sequence number where an entry is not in the log any more.
local found = {}
for i, seq in ipairs(redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2])) do
  found[i] = redis.call('XRANGE', KEYS[1], seq .. '-0', seq .. '-0')[1] or tonumber(seq)
end
return found
