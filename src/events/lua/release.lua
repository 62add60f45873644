-- Queues delayed work that is due. The caller has found the pieces; those that are gone are skipped.
--
-- KEYS  1 delayed, then for each piece: waiting, turns
-- ARGV  1 doorbell channel  2 partition, then for each piece: stage:lane, requester, order, pointer
-- Returns how many pieces were released.
local released, bells = 0, {}
for piece = 1, (#ARGV - 2) / 4 do
  local at = 2 + 4 * (piece - 1)
  local bell, requester, order, pointer = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  if redis.call('ZREM', KEYS[1], pointer) == 1 then
    enqueue(KEYS[2 * piece], KEYS[2 * piece + 1], requester, order, pointer)
    released = released + 1
    bells[released] = bell
  end
end
if released > 0 then redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. table.concat(bells, ',')) end
return released
