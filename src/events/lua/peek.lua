-- Tells what would be handed out next.
--
-- KEYS  1 waiting  2 turns      Returns {requester, order}, or nothing when nothing waits.
local piece = next_piece(KEYS[1], KEYS[2])
return piece and {string.match(piece, '^(%S+) (%S+) ')}
