-- Tells what would be handed out next.
--
-- KEYS  1 waiting  2 turns      Returns {requester, order}, or nothing when nothing waits.
local requester, piece = next_piece(KEYS[1], KEYS[2])
return piece and {requester, string.match(piece, '^%S+ (%S+) ')}
