-- Shared by the scripts that queue work.
--
-- A queue is two sorted sets. `waiting` has the pieces, as `requester order pointer`, all with the score 0: so those of one
-- requester stand together, the oldest job first, and of a job the first scene. `turns` has the requesters, with the turn of
-- each (start-time fair queueing): a piece that is taken moves its requester one turn on, whatever else they wait for. Who
-- comes new joins at the turn that is being served. Among equal turns, who came first goes first: a turn is so much larger than the time
-- of coming, in ms, that is added to it.
local TURN = 2 ^ 33
local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
local function enqueue(waiting, turns, requester, order, pointer)
  if not redis.call('ZSCORE', turns, requester) then
    local first = redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES')[2]
    local turn = first and math.floor(first / TURN) or 0
    redis.call('ZADD', turns, string.format('%.0f', turn * TURN + now_ms() % TURN), requester)
  end
  redis.call('ZADD', waiting, 0, requester .. ' ' .. order .. ' ' .. pointer)
end
