-- Puts consecutive events of one partition back, with what an append notes beside them.
--
-- KEYS  1 log  2 head, then for each event: history, commands
-- ARGV  for each event: sequence number, command id, the values of its fields (Envelope::STORED)
local head = tonumber(redis.call('GET', KEYS[2]) or '0')
for event = 1, (#KEYS - 2) / 2 do
  local at = 9 * (event - 1)
  local seq = tonumber(ARGV[at + 1])
  if seq ~= head + 1 then return redis.error_reply('the log ends at ' .. head .. ', event ' .. seq .. ' does not follow') end
  redis.call('XADD', KEYS[1], seq .. '-0', 'event_id', ARGV[at + 3], 'aggregate_id', ARGV[at + 4],
    'version', ARGV[at + 5], 'type', ARGV[at + 6], 'schema', ARGV[at + 7], 'meta', ARGV[at + 8], 'data', ARGV[at + 9])
  redis.call('RPUSH', KEYS[2 * event + 1], seq)
  redis.call('HSET', KEYS[2 * event + 2], ARGV[at + 2], ARGV[at + 5])
  head = seq
end
redis.call('SET', KEYS[2], head)
