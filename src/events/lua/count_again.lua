-- Counts an open job while a partition's queues are built again from its log.
--
-- KEYS  1 open  2 open by user  3 log  4 history
-- ARGV  1 job  2 requester  3 '1' if urgent
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then
  count_open(KEYS[2], ARGV[1], ARGV[2], ARGV[3], request_bytes(KEYS[3], KEYS[4]))
end
