-- Writes a batch of status documents and the partition's checkpoint.
--
-- KEYS  1 checkpoint, then one key for each document
-- ARGV  1 sequence number, then version and document for each
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return end
for i = 2, #KEYS do
  local version, view = ARGV[2 * i - 2], ARGV[2 * i - 1]
  if tonumber(redis.call('HGET', KEYS[i], 'version') or '0') < tonumber(version) then
    redis.call('HSET', KEYS[i], 'version', version, 'view', view)
  end
end
redis.call('SET', KEYS[1], ARGV[1])
