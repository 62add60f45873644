-- Writes a batch of status documents and the partition's checkpoint.
--
-- KEYS  1 checkpoint, then one key for each document
-- ARGV  1 sequence number, then version, document and seconds to live (0: no end) for each
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return end
for i = 2, #KEYS do
  local version, view, seconds = ARGV[3 * i - 4], ARGV[3 * i - 3], ARGV[3 * i - 2]
  if tonumber(redis.call('HGET', KEYS[i], 'version') or '0') < tonumber(version) then
    redis.call('HSET', KEYS[i], 'version', version, 'view', view)
    if seconds == '0' then redis.call('PERSIST', KEYS[i]) else redis.call('EXPIRE', KEYS[i], seconds) end
  end
end
redis.call('SET', KEYS[1], ARGV[1])
