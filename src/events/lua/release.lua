-- Queues delayed work that is due. The caller has found the pieces; those that are gone are skipped.
--
-- KEYS  1 delayed  2 head, then for each piece: waiting, turns
-- ARGV  1 doorbell channel  2 partition, then for each piece: stage:priority, requester, pointer
-- Returns how many pieces were released.
local released, bells = 0, {}
local head = tonumber(redis.call('GET', KEYS[2]) or '0')
for piece = 1, (#ARGV - 2) / 3 do
  local bell, requester, pointer = ARGV[3 * piece], ARGV[3 * piece + 1], ARGV[3 * piece + 2]
  if redis.call('ZREM', KEYS[1], pointer) == 1 then
    enqueue(KEYS[2 * piece + 1], KEYS[2 * piece + 2], order_of(head, piece), pointer, requester)
    released = released + 1
    bells[released] = bell
  end
end
if released > 0 then redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. table.concat(bells, ',')) end
return released
