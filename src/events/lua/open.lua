-- Shared by the scripts that open and close jobs.
--
-- `counts` is a hash. It has a field for each open job: job -> '<requester> <1 if urgent> <bytes of its request>', and one
-- for each requester with open jobs: requester -> '<jobs> <urgent jobs> <bytes>'. The requester '*' stands for all.
local function add_open(counts, requester, sign, urgent, bytes)
  local jobs, urgent_jobs, all_bytes =
    string.match(redis.call('HGET', counts, requester) or '0 0 0', '(%d+) (%d+) (%d+)')
  if jobs + sign <= 0 then
    redis.call('HDEL', counts, requester)
  else
    redis.call('HSET', counts, requester,
      string.format('%d %d %d', jobs + sign, urgent_jobs + sign * urgent, all_bytes + sign * bytes))
  end
end

-- Counts a job as open. A job that is counted already stays as it is.
local function count_open(counts, job, requester, urgent, bytes)
  if redis.call('HEXISTS', counts, job) == 1 then return end
  redis.call('HSET', counts, job, string.format('%s %d %d', requester, urgent, bytes))
  add_open(counts, requester, 1, urgent, bytes)
  add_open(counts, '*', 1, urgent, bytes)
end

-- Counts a job as ended. A job that is not counted changes nothing.
local function count_closed(counts, job)
  local open = redis.call('HGET', counts, job)
  if not open then return end
  redis.call('HDEL', counts, job)
  local requester, urgent, bytes = string.match(open, '(%S+) (%d+) (%d+)')
  add_open(counts, requester, -1, urgent, bytes)
  add_open(counts, '*', -1, urgent, bytes)
end

-- The bytes that the log holds of a job's first event, its request; 0 once that is in the archive alone.
local function request_bytes(log, history)
  local first = redis.call('LINDEX', history, 0)
  local entry = first and redis.call('XRANGE', log, first .. '-0', first .. '-0')[1]
  if not entry then return 0 end
  for field = 1, #entry[2], 2 do
    if entry[2][field] == 'data' then return #entry[2][field + 1] end
  end
  return 0
end
