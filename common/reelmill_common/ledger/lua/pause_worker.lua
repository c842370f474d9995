-- flags: allow-oom
-- Let a worker take no more jobs until a person resumes it, also when it is started anew; what it has goes on.
-- ARGV: worker. Returns 1, or 0 if it is not registered.
local worker = ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 0 end
if redis.call('SADD', paused_workers(), worker) == 1 then emit('worker.paused', '', '', worker) end
if v[2] == 'ready' or v[2] == 'resting' then set_worker(worker, v[1], 'paused') end
return 1
