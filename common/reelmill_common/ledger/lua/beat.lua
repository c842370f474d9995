-- flags: allow-oom
-- Note that a worker's parent lives. ARGV: worker, seconds after which a quarantine for failed jobs is lifted (0: never).
-- Returns 1, or 0 if it is not registered.
local worker, patience = ARGV[1], tonumber(ARGV[2]) * 1000
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state', 'may_return', 'since')
if not v[1] then return 0 end
redis.call('HSET', worker_key(worker), 'seen', now)
if redis.call('ZADD', BEATS, now, worker) == 1 then emit('worker.returned', '', '', worker) end
if v[2] == 'ready' then set_live(worker, now) end
if v[2] == 'quarantined' and v[3] == '1' and patience > 0 and now - v[4] >= patience then forgive(worker, v[1]) end
return 1
