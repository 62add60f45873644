-- Puts the open work of one aggregate back into the queues, while they are built again from the log, if the aggregate is
-- still as it was folded.
--
-- KEYS  1 builder  2 history  3 open  4 dead letters  5 delayed  6 deadlines, then for each piece of work: waiting, turns
-- ARGV  1 token  2 how long the builder holds, in ms  3 version folded  4 aggregate id
--       5 'open' or 'dead'  6 since when it is dead, in ms
--       then for each piece: requester, order, delay in ms, when it goes ahead of others ('' never), pointer
-- Returns 1; 0 when the aggregate has changed; -1 when somebody else builds the queues. Then nothing is written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if ARGV[5] == 'open' then
  redis.call('SADD', KEYS[3], ARGV[4])
else
  redis.call('ZADD', KEYS[4], ARGV[6], ARGV[4])
end
for piece = 1, (#ARGV - 6) / 5 do
  local at, key = 6 + 5 * (piece - 1), 6 + 2 * (piece - 1)
  local requester, order, delay = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local hastened_at, pointer = ARGV[at + 4], ARGV[at + 5]
  if delay == '0' then
    enqueue(KEYS[key + 1], KEYS[key + 2], requester, order, pointer)
  else
    redis.call('ZADD', KEYS[5], now_ms() + delay, pointer)
  end
  set_deadline(KEYS[6], hastened_at, delay, pointer)
end
return 1
