-- A batch of appends to one partition, each of them all or nothing. An append is checked before its first
-- write, and the first write of the call is the only one that the server may refuse.
--
-- KEYS  1 log  2 head  3 open  4 dead letters  5 delayed  6 queues complete
--       7 open by user  8 deadlines  9 fence of the layout
--       then for each append: history, commands, the stream of the acknowledged work if there is one, and
--       for each piece of work: waiting, turns
-- ARGV  doorbell channel, partition, generation of the layout that the caller knows, how many ms an id may be ahead,
--         number of appends, then for each append:
--         expected version, command id, aggregate id, mark ('', 'open', 'closed' or 'dead'),
--         requester of what is opened ('' does not count it), '1' if that is urgent, number of events, number of pieces of work, group ('' acknowledges nothing), entry id,
--         the values of each event's fields (Envelope::STORED),
--         for each piece: stage, lane, requester, order, delay in ms, when it goes ahead of others ('' never), pointer
--
-- Returns for each append {'appended', last version}, {'duplicate', last version},
--         {'conflict', current version}, {'stale', current version}, or {'ahead', 0} for a new aggregate whose id is of a
--         later time than the server's. Refuses all of them with LAYOUT when the log has grown since that generation.
local log, head, open, dead, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local counts, deadlines = KEYS[7], KEYS[8]
local key, at = 9, 0
local function next_key()
  key = key + 1
  return KEYS[key]
end
local function next_arg()
  at = at + 1
  return ARGV[at]
end

local doorbell, partition, generation = next_arg(), next_arg(), tonumber(next_arg())
local max_ahead, appends = tonumber(next_arg()), tonumber(next_arg())
local width = 7

local fence = tonumber(redis.call('GET', KEYS[9]) or '0')
if generation < fence then
  return redis.error_reply('LAYOUT ' .. fence)
end

-- Whether the id (UUIDv7) of an aggregate is of a later time than a right clock makes.
local function is_ahead(aggregate)
  if string.sub(aggregate, 15, 15) ~= '7' then return false end
  local made = tonumber(string.sub(aggregate, 1, 8) .. string.sub(aggregate, 10, 13), 16)
  return made > now_ms() + max_ahead
end

local seq = tonumber(redis.call('GET', head) or '0')
-- Nothing below can be refused once something is written, so what can be is looked at here.
if #redis.call('XRANGE', log, '(' .. seq .. '-0', '+', 'COUNT', 1) > 0 then
  return redis.error_reply('AHEAD partition ' .. partition .. ' ends at ' .. seq .. ', but has entries after that')
end
local before, rung, bells = seq, {}, {}

local function one()
  local history, commands = next_key(), next_key()
  local expected, command, aggregate, mark = tonumber(next_arg()), next_arg(), next_arg(), next_arg()
  local opener, urgent = next_arg(), next_arg()
  local events, pieces, group, entry = tonumber(next_arg()), tonumber(next_arg()), next_arg(), next_arg()
  local done = group ~= '' and next_key()
  local first_event, first_piece, first_key = at, at + events * width, key
  at, key = first_piece + 7 * pieces, key + 2 * pieces

  -- Whether the entry was still pending: else the work was taken over, and this is a result of an old attempt.
  local function acknowledge()
    local was_pending = redis.call('XACK', done, group, entry) == 1
    if was_pending then redis.call('XDEL', done, entry) end
    return was_pending
  end

  if events > 0 then
    local earlier = redis.call('HGET', commands, command)
    if earlier then
      if done then acknowledge() end
      return {'duplicate', tonumber(earlier)}
    end
  end
  local version = redis.call('LLEN', history)
  if events > 0 and version ~= expected then
    return {'conflict', version}
  end
  if events > 0 and version == 0 and is_ahead(aggregate) then
    return {'ahead', 0}
  end
  if done and not acknowledge() then
    return {'stale', version}
  end

  -- Of a new job, its request is the first event here.
  local new_request_bytes = events > 0 and version == 0 and #ARGV[first_event + width]
  if events > 0 then
    local numbers = {}
    for event = 1, events do
      redis.call('XADD', log, (seq + event) .. '-0', 'event_id', ARGV[first_event + 1],
        'aggregate_id', ARGV[first_event + 2], 'version', ARGV[first_event + 3], 'type', ARGV[first_event + 4],
        'schema', ARGV[first_event + 5], 'meta', ARGV[first_event + 6], 'data', ARGV[first_event + 7])
      first_event = first_event + width
      numbers[event] = seq + event
    end
    redis.call('RPUSH', history, unpack(numbers))
    redis.call('HSET', commands, command, version + events)
    seq = seq + events
  end

  if mark == 'open' then
    redis.call('SADD', open, aggregate)
    if opener ~= '' then
      count_open(counts, aggregate, opener, urgent, new_request_bytes or request_bytes(log, history))
    end
  elseif mark ~= '' then
    redis.call('SREM', open, aggregate)
    count_closed(counts, aggregate)
  end
  if mark == 'dead' then
    redis.call('ZADD', dead, now_ms(), aggregate)
  elseif mark ~= '' and version > 0 then
    redis.call('ZREM', dead, aggregate)
  end

  for piece = 1, pieces do
    local from = first_piece + 7 * (piece - 1)
    local requester, order, delay = ARGV[from + 3], ARGV[from + 4], ARGV[from + 5]
    local hastened_at, pointer = ARGV[from + 6], ARGV[from + 7]
    if delay == '0' then
      enqueue(KEYS[first_key + 2 * piece - 1], KEYS[first_key + 2 * piece], requester, order, pointer)
      local bell = ARGV[from + 1] .. ':' .. ARGV[from + 2]
      if not rung[bell] then
        rung[bell] = true
        bells[#bells + 1] = bell
      end
    else
      -- The server's clock, which is also what says when it is due.
      redis.call('ZADD', delayed, now_ms() + delay, pointer)
    end
    set_deadline(deadlines, hastened_at, delay, pointer)
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
