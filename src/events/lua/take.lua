-- Hands out up to COUNT pieces of the work of one stage and lane that waits in one partition.
--
-- KEYS  1 waiting  2 turns  3 stream of taken work
-- ARGV  1 group  2 consumer  3 count  4 how far to look ahead  5… scenes, as `requester order`, that go before others of their job
-- Returns {how many still wait, entries as XREADGROUP gives them}.
local waiting, turns, stream = KEYS[1], KEYS[2], KEYS[3]
local preferred = {}
for i = 5, #ARGV do preferred[ARGV[i]] = true end
-- The first preferred piece among the next ones of the job whose turn it is; else the first piece.
local function choose()
  local first, job = next_piece(waiting, turns)
  if not job or #ARGV < 5 then return first end
  local pieces = redis.call('ZRANGEBYLEX', waiting, '[' .. job, '(' .. job .. ':', 'LIMIT', 0, ARGV[4])
  for _, piece in ipairs(pieces) do
    if preferred[string.match(piece, '^%S+ %S+')] then return piece end
  end
  return first
end
local taken = 0
while taken < tonumber(ARGV[3]) do
  local piece = choose()
  if not piece then break end
  redis.call('ZREM', waiting, piece)
  redis.call('XADD', stream, '*', 'work', string.match(piece, '^%S+ %S+ (.*)$'))
  taken = taken + 1
end
local left = redis.call('ZCARD', waiting)
if left == 0 then redis.call('DEL', turns) end
if taken == 0 then return {left, {}} end
local function read()
  return redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', taken, 'STREAMS', stream, '>')
end
local reply = read()
if reply.err then
  if not string.find(reply.err, 'NOGROUP', 1, true) then return reply end
  redis.call('XGROUP', 'CREATE', stream, ARGV[1], '0')
  reply = read()
end
return {left, reply[1][2]}
