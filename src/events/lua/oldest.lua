-- Tells the first pieces of work that wait in the queues of one partition: of each requester the one of their oldest job.
--
-- KEYS  waiting sets      ARGV  1 requesters of each queue, at most
-- Returns pointers.
local pointers = {}
for _, waiting in ipairs(KEYS) do
  local from = '-'
  for _ = 1, tonumber(ARGV[1]) do
    local piece = redis.call('ZRANGEBYLEX', waiting, from, '+', 'LIMIT', 0, 1)[1]
    if not piece then break end
    pointers[#pointers + 1] = string.match(piece, '^%S+ %S+ (.*)$')
    -- Behind all pieces of the requester: a space comes right before `!`.
    from = '[' .. string.match(piece, '^(%S+)') .. '!'
  end
end
return pointers
