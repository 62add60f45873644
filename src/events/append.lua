-- One atomic append. Everything is checked before the first write.
--
-- KEYS  1 log  2 head  3 history  4 commands  5 attempts  6 stream of the acknowledged work (the log when there is none)
--       7 delayed work  8.. streams of the scheduled work, one for each piece
-- ARGV  1 expected version  2 command id  3 doorbell channel
--       4 number of events  5 number of values of an event  6 number of pieces of work
--       7 group  8 entry id  9 attempt field  10 attempt token   (of the acknowledged work, or '')
--       11 partition
--       then the field names of an event, then the values of each event,
--       then for each piece of work: stage, attempt field, token, aggregate id, version, scene, delay in ms
--
-- Returns {'appended', last version}, {'duplicate', last version},
--         {'conflict', current version} or {'stale', current version}.
local log, head, history, commands, attempts, done = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local expected, command, doorbell = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local events, width, pieces = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local group, entry, done_field, done_token = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local function acknowledge()
  if entry ~= '' then
    redis.call('XACK', done, group, entry)
    redis.call('XDEL', done, entry)
  end
end

local earlier = redis.call('HGET', commands, command)
if earlier then
  acknowledge()
  return {'duplicate', tonumber(earlier)}
end

local version = redis.call('LLEN', history)
if entry ~= '' and redis.call('HGET', attempts, done_field) ~= done_token then
  return {'stale', version}
end
if version ~= expected then
  return {'conflict', version}
end

local seq = tonumber(redis.call('GET', head) or '0')
local names = 11
local values = names + width
for event = 1, events do
  local fields = {}
  for i = 1, width do
    fields[2 * i - 1] = ARGV[names + i]
    fields[2 * i] = ARGV[values + i]
  end
  -- Fails before anything is written when the log is ahead of its head.
  redis.call('XADD', log, (seq + event) .. '-0', unpack(fields))
  redis.call('RPUSH', history, seq + event)
  values = values + width
end
if events > 0 then
  redis.call('SET', head, seq + events)
  redis.call('HSET', commands, command, version + events)
end

if entry ~= '' then
  acknowledge()
  redis.call('HDEL', attempts, done_field)
end

local woken = {}
for piece = 1, pieces do
  local at = values + 7 * (piece - 1)
  local stream, stage, field, token, delay = KEYS[7 + piece], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 7]
  local pointer = {'aggregate_id', ARGV[at + 4], 'version', ARGV[at + 5], 'stage', stage,
    'scene', ARGV[at + 6], 'token', token}
  if delay == '0' then
    redis.call('XADD', stream, '*', unpack(pointer))
    woken[#woken + 1] = stage
  else
    -- The server's clock, which is also what says when it is due.
    local now = redis.call('TIME')
    local due = now[1] * 1000 + math.floor(now[2] / 1000) + delay
    redis.call('ZADD', KEYS[7], due, cjson.encode({stage, stream, pointer}))
  end
  redis.call('HSET', attempts, field, token)
end
if events > 0 then
  redis.call('PUBLISH', doorbell, ARGV[11] .. ' ' .. table.concat(woken, ','))
end
return {'appended', version + events}
