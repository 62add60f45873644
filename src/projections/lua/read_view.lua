-- A status document of the edition that is served.
--
-- KEYS  1 served edition  2 the document's key
return redis.call('HGET', KEYS[2], redis.call('GET', KEYS[1]) or '1')
