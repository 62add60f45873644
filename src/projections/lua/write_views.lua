-- Writes a batch of status documents and the partition's checkpoint.
--
-- KEYS  1 owner  2 checkpoint, then one key for each document
-- ARGV  1 token  2 how long it holds, in ms  3 checkpoint before  4 checkpoint after  5 edition
--       6 whether the edition is only being filled, then version, document and seconds to live (0: no end) for each
-- Returns 1, or 0 when the writer is not the owner any more; then nothing is written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[3] then return 0 end
local field, is_filled = ARGV[5], ARGV[6] == '1'
for i = 3, #KEYS do
  local version, view, seconds = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if tonumber(redis.call('HGET', KEYS[i], field .. ':version') or '0') < tonumber(version) then
    redis.call('HSET', KEYS[i], field .. ':version', version, field, view)
    -- How long a document stays is for the edition that is served to say, if it has one.
    if not is_filled or redis.call('HLEN', KEYS[i]) == 2 then
      if seconds == '0' then redis.call('PERSIST', KEYS[i]) else redis.call('EXPIRE', KEYS[i], seconds) end
    end
  end
end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
