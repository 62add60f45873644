-- Moves waiting work on a scene that a viewer will soon need to the lane of next scenes. The caller has found the pieces; those that do
-- not wait any more are forgotten, and those of a job that nobody watches are looked at again later.
--
-- KEYS  1 deadlines  2 viewed, then for each piece: waiting, and waiting and turns of next scenes
-- ARGV  1 doorbell channel  2 partition  3 how long a request for the stream stands for a viewer, in ms
--       4 when to look again, in ms from now, then for each piece: stage:lane of next scenes, aggregate, requester, order, pointer
-- Returns how many pieces were moved.
local moved, bells, now = 0, {}, now_ms()
for piece = 1, (#ARGV - 4) / 5 do
  local at, key = 4 + 5 * (piece - 1), 2 + 3 * (piece - 1)
  local bell, aggregate, requester = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local order, pointer = ARGV[at + 4], ARGV[at + 5]
  local waiting, member = KEYS[key + 1], requester .. ' ' .. order .. ' ' .. pointer
  if not redis.call('ZSCORE', waiting, member) then
    redis.call('ZREM', KEYS[1], pointer)
  elseif tonumber(redis.call('ZSCORE', KEYS[2], aggregate) or '0') > now - ARGV[3] then
    redis.call('ZREM', KEYS[1], pointer)
    redis.call('ZREM', waiting, member)
    enqueue(KEYS[key + 2], KEYS[key + 3], requester, order, pointer)
    moved = moved + 1
    bells[moved] = bell
  else
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[4]), pointer)
  end
end
if moved > 0 then redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. table.concat(bells, ',')) end
return moved
