-- Say that a worker's parent lives. ARGV: worker. Returns 1, or 0 if it is not registered.
local worker = ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 0 end
redis.call('HSET', worker_key(worker), 'seen', now)
if redis.call('ZADD', BEATS, now, worker) == 1 then tell('worker.returned', '', '', worker) end
if v[2] == 'ready' then redis.call('ZADD', live_key(v[1]), now, worker) end
return 1
