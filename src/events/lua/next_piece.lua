-- Shared by the scripts that hand out work.
--
-- Whose turn it is, and their first piece; nothing when nothing waits. Forgets requesters of whom nothing waits any more: until
-- their turn came, they were kept, so that nobody goes first by coming again and again.
local function next_piece(waiting, turns)
  while true do
    local requester = redis.call('ZRANGE', turns, 0, 0)[1]
    if not requester then return end
    local piece = redis.call('ZRANGEBYLEX', waiting, '[' .. requester .. ' ', '(' .. requester .. '!', 'LIMIT', 0, 1)[1]
    if piece then return requester, piece end
    redis.call('ZREM', turns, requester)
  end
end
