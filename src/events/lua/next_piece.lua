-- Shared by the scripts that hand out work.
--
-- The first piece of the job whose turn it is; nothing when nothing waits. Forgets jobs of which nothing waits any more: until
-- their turn came, they were kept, because more of them may come. With the piece comes the job, as `requester rank`, where there are
-- turns.
local function next_piece(waiting, turns)
  while true do
    local job = redis.call('ZRANGE', turns, 0, 0)[1]
    -- Without turns there is nothing, or what a release that knew other turns has left.
    if not job then return redis.call('ZRANGE', waiting, 0, 0)[1] end
    -- An order goes on with the scene's digits; ':' is what comes after '9'.
    local piece = redis.call('ZRANGEBYLEX', waiting, '[' .. job, '(' .. job .. ':', 'LIMIT', 0, 1)[1]
    if piece then return piece, job end
    redis.call('ZREM', turns, job)
  end
end
