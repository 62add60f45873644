-- Moves waiting work that a viewer will soon need to the lane of next scenes. The caller has found the pieces; those that do not wait any
-- more are skipped.
--
-- KEYS  1 deadlines, then for each piece: waiting, and waiting and turns of next scenes
-- ARGV  1 doorbell channel  2 partition, then for each piece: stage:lane of next scenes, requester, order, pointer
-- Returns how many pieces were moved.
local moved, bells = 0, {}
for piece = 1, (#ARGV - 2) / 4 do
  local at, key = 2 + 4 * (piece - 1), 1 + 3 * (piece - 1)
  local bell, requester, order, pointer = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  redis.call('ZREM', KEYS[1], pointer)
  if redis.call('ZREM', KEYS[key + 1], requester .. ' ' .. order .. ' ' .. pointer) == 1 then
    enqueue(KEYS[key + 2], KEYS[key + 3], requester, order, pointer)
    moved = moved + 1
    bells[moved] = bell
  end
end
if moved > 0 then redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. table.concat(bells, ',')) end
return moved
