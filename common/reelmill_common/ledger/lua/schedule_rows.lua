-- Keep one more piece of a prompt file's rows, for the schedule that is about to be put; what none claims is gone in an
-- hour. ARGV: name of the rows, piece. Returns how many pieces there are.
local count = redis.call('RPUSH', rows_key(ARGV[1]), ARGV[2])
redis.call('EXPIRE', rows_key(ARGV[1]), 3600)
return count
