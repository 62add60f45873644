-- Puts taken work back where it was taken from, if it is still this attempt's. Its job has the turn again.
--
-- KEYS  1 stream of taken work  2 waiting  3 turns
-- ARGV  1 group  2 entry id  3 requester  4 order  5 doorbell channel  6 what to ring
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return end
redis.call('XDEL', KEYS[1], ARGV[2])
if entry then
  local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
  enqueue(KEYS[2], KEYS[3], ARGV[3], ARGV[4], entry[2][2])
  -- Ahead of all that waits: it has waited before.
  if first then redis.call('ZADD', KEYS[3], string.format('%.0f', first - 1), job_of(ARGV[3] .. ' ' .. ARGV[4] .. ' ')) end
  redis.call('PUBLISH', ARGV[5], ARGV[6])
end
