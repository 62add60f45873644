-- A batch of appends to one partition, each of them all or nothing. An append is checked before its first
-- write, and the first write of the call is the only one that the server may refuse.
--
-- KEYS  1 log  2 head  3 open  4 dead letters  5 delayed  6 queues complete
--       then for each append: history, commands, attempts, the stream of the acknowledged work if there is
--       one, and for each piece of work: waiting, turns
-- ARGV  doorbell channel, partition, number of appends, number of fields of an event, their names,
--       then for each append:
--         expected version, command id, aggregate id, mark ('', 'open', 'closed' or 'dead'),
--         number of events, number of pieces of work,
--         group ('' acknowledges nothing), entry id, attempt field, attempt token,
--         the values of each event,
--         for each piece: stage, priority, attempt field, token, requester, delay in ms, pointer
--
-- Returns for each append {'appended', last version}, {'duplicate', last version},
--         {'conflict', current version} or {'stale', current version}.
local log, head, open, dead, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local key, at = 6, 0
local function next_key()
  key = key + 1
  return KEYS[key]
end
local function next_arg()
  at = at + 1
  return ARGV[at]
end

local doorbell, partition, appends, width = next_arg(), next_arg(), tonumber(next_arg()), tonumber(next_arg())
local fields = {}
for i = 1, width do fields[2 * i - 1] = next_arg() end

local seq = tonumber(redis.call('GET', head) or '0')
local before, rung, bells = seq, {}, {}

local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function one()
  local history, commands, attempts = next_key(), next_key(), next_key()
  local expected, command, aggregate, mark = tonumber(next_arg()), next_arg(), next_arg(), next_arg()
  local events, pieces = tonumber(next_arg()), tonumber(next_arg())
  local group, entry, done_field, done_token = next_arg(), next_arg(), next_arg(), next_arg()
  local done = group ~= '' and next_key()
  local first_event, first_piece, first_key = at, at + events * width, key
  at, key = first_piece + 7 * pieces, key + 2 * pieces

  -- An entry that is not acknowledged here is one that nobody needs any more.
  local function acknowledge()
    if done then
      redis.call('XACK', done, group, entry)
      redis.call('XDEL', done, entry)
    end
  end

  if events > 0 then
    local earlier = redis.call('HGET', commands, command)
    if earlier then
      acknowledge()
      return {'duplicate', tonumber(earlier)}
    end
  end
  local version = redis.call('LLEN', history)
  if done and redis.call('HGET', attempts, done_field) ~= done_token then
    acknowledge()
    return {'stale', version}
  end
  if events > 0 and version ~= expected then
    return {'conflict', version}
  end

  if events > 0 then
    local numbers = {}
    for event = 1, events do
      for i = 1, width do fields[2 * i] = ARGV[first_event + i] end
      first_event = first_event + width
      -- Fails before anything is written when the log is ahead of its head.
      redis.call('XADD', log, (seq + event) .. '-0', unpack(fields))
      numbers[event] = seq + event
    end
    redis.call('RPUSH', history, unpack(numbers))
    redis.call('HSET', commands, command, version + events)
    seq = seq + events
  end

  acknowledge()
  if mark == 'closed' or mark == 'dead' then
    redis.call('SREM', open, aggregate)
    redis.call('DEL', attempts)
  elseif done then
    redis.call('HDEL', attempts, done_field)
  end
  if mark == 'open' then redis.call('SADD', open, aggregate) end
  if mark == 'dead' then
    redis.call('ZADD', dead, now_ms(), aggregate)
  elseif mark ~= '' and version > 0 then
    redis.call('ZREM', dead, aggregate)
  end

  for piece = 1, pieces do
    local from = first_piece + 7 * (piece - 1)
    local stage, priority, field, token = ARGV[from + 1], ARGV[from + 2], ARGV[from + 3], ARGV[from + 4]
    local requester, delay, pointer = ARGV[from + 5], ARGV[from + 6], ARGV[from + 7]
    if delay == '0' then
      enqueue(KEYS[first_key + 2 * piece - 1], KEYS[first_key + 2 * piece], order_of(seq, piece), pointer, requester)
      local bell = stage .. ':' .. priority
      if not rung[bell] then
        rung[bell] = true
        bells[#bells + 1] = bell
      end
    else
      -- The server's clock, which is also what says when it is due.
      redis.call('ZADD', delayed, now_ms() + delay, pointer)
    end
    redis.call('HSET', attempts, field, token)
  end
  return {'appended', version + events}
end

local results = {}
for n = 1, appends do results[n] = one() end
if seq > before then
  redis.call('SET', head, seq)
  -- The queues of a log that begins here are complete.
  if before == 0 then redis.call('SET', KEYS[6], 1) end
  redis.call('PUBLISH', doorbell, partition .. ' ' .. table.concat(bells, ','))
end
return results
