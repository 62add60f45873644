-- Shared by the scripts that queue work.
--
-- A queue is two sorted sets. `waiting` has the pieces, as `requester order pointer`, all with the score 0: so those of one
-- requester stand together, the oldest job first, and of a job the first scene. An order begins with the job's rank: its
-- age, in ms since 1970, and a part of its id. `turns` has the jobs, as `requester rank`, with the turn of each (start-time fair queueing): a requester has one turn for each of
-- their jobs, so that a job that is begun is finished, and the next of the same requester comes after one of everybody
-- else. Who comes new joins at the turn that is being served. Among equal turns, the oldest job goes first: a turn is so
-- much larger than the age, in ms, that is added to it.
local TURN = 2 ^ 33
local AGE_LENGTH, RANK_LENGTH = 14, 26
local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
-- Returns the requester and the rank of the job of a piece.
local function job_of(piece)
  local requester, order = string.match(piece, '^(%S+) (%S+) ')
  return requester .. ' ' .. string.sub(order, 1, RANK_LENGTH)
end
local function turn_of(turns, job)
  local score = redis.call('ZSCORE', turns, job)
  return score and math.floor(score / TURN)
end
-- Notes when a piece goes ahead of others, unless it never does; not before its delay is over.
local function set_deadline(deadlines, hastened_at, delay, pointer)
  if hastened_at == '' then return end
  local at = tonumber(hastened_at)
  if delay ~= '0' then at = math.max(at, now_ms() + delay) end
  redis.call('ZADD', deadlines, string.format('%.0f', at), pointer)
end
local function enqueue(waiting, turns, requester, order, pointer)
  local job = requester .. ' ' .. string.sub(order, 1, RANK_LENGTH)
  if not redis.call('ZSCORE', turns, job) then
    local served = redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES')[2]
    local turn = served and math.floor(served / TURN) or 0
    -- After the requester's job before it that waits, too.
    local before = redis.call('ZREVRANGEBYLEX', waiting, '(' .. job, '[' .. requester .. ' ', 'LIMIT', 0, 1)[1]
    local turn_before = before and turn_of(turns, job_of(before))
    if turn_before then turn = math.max(turn, turn_before + 1) end
    redis.call('ZADD', turns, string.format('%.0f', turn * TURN + string.sub(order, 1, AGE_LENGTH) % TURN), job)
  end
  redis.call('ZADD', waiting, 0, requester .. ' ' .. order .. ' ' .. pointer)
end
