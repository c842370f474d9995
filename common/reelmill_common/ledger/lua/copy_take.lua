-- flags: allow-oom
-- Take the right to copy the record into the store: one process in so many seconds. ARGV: seconds. Returns 1, or 0 if it
-- is taken.
return redis.call('SET', P .. 'copy_turn', 1, 'NX', 'PX', math.floor(ARGV[1] * 1000)) and 1 or 0
