-- Take up a run that no process works on, or go on with one that is ours. ARGV: batch, token of the taker,
-- milliseconds for which no other may. Returns {schedule, policy, rows}, or false if another process has it or it is done.
local batch = ARGV[1]
local v = redis.call('HMGET', run_key(batch), 'schedule', 'policy', 'rows', 'taker')
local free_at = redis.call('ZSCORE', RUNS, batch)
if not free_at or (tonumber(free_at) > now and v[4] ~= ARGV[2]) then return false end
redis.call('HSET', run_key(batch), 'taker', ARGV[2])
redis.call('ZADD', RUNS, now + ARGV[3], batch)
return {v[1], v[2], v[3]}
