-- Writes a batch of status documents and the partition's checkpoint, and which aggregates are passed over.
--
-- KEYS  1 owner  2 checkpoint  3 quarantined aggregates  4 number of the next edition, then one key for each document
-- ARGV  1 token  2 how long it holds, in ms  3 checkpoint before  4 checkpoint after  5 edition
--       6 whether the edition is only being filled  7 aggregate that is not passed over any more, or ''
--       8 aggregate that is passed over from now on, or ''  9 why, as JSON
--       then version, document and seconds to live (0: no end) for each
-- Returns 1, or 0 when the writer is not the owner any more; then nothing is written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[3] then return 0 end
local field, is_filled = ARGV[5], ARGV[6] == '1'

-- Removes what other editions hold, but for the one that a rebuild fills: a document has two fields for each.
local function remove_old_editions(key)
  local next_edition = redis.call('GET', KEYS[4])
  for _, name in ipairs(redis.call('HKEYS', key)) do
    local edition = string.match(name, '^%d+')
    if edition ~= field and edition ~= next_edition then redis.call('HDEL', key, name) end
  end
end

local first = 5
for i = first, #KEYS do
  local at = 10 + 3 * (i - first)
  local version, view, seconds = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  -- The same version again is the same document, or one whose words were erased.
  if tonumber(redis.call('HGET', KEYS[i], field .. ':version') or '0') <= tonumber(version) then
    redis.call('HSET', KEYS[i], field .. ':version', version, field, view)
    local fields = redis.call('HLEN', KEYS[i])
    if fields > 2 and not is_filled then remove_old_editions(KEYS[i]) end
    -- How long a document stays is for the edition that is served to say, if it has one.
    if not is_filled or fields == 2 then
      if seconds == '0' then redis.call('PERSIST', KEYS[i]) else redis.call('EXPIRE', KEYS[i], seconds) end
    end
  end
end
if ARGV[7] ~= '' then redis.call('HDEL', KEYS[3], ARGV[7]) end
if ARGV[8] ~= '' then redis.call('HSETNX', KEYS[3], ARGV[8], ARGV[9]) end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
