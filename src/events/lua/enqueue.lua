-- Shared by the scripts that queue work.
--
-- Puts a pointer into a waiting set so that requesters take turns (start-time fair queueing): each piece
-- waits behind one piece of every other requester, however many the requester has queued before. Turns are
-- counted from the one being served; the counts go when nothing waits any more (see take.lua).
-- `order`, 20 characters, decides between equal turns: first come, first served.
local function enqueue(waiting, turns, order, pointer, requester)
  local at = redis.call('HMGET', turns, '', requester)
  local turn = math.max(tonumber(at[1] or 0), tonumber(at[2] or 0))
  redis.call('HSET', turns, requester, turn + 1)
  redis.call('ZADD', waiting, turn, order .. pointer)
end
local function order_of(sequence, piece)
  return string.format('%015d%05d', sequence, piece)
end
