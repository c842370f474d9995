-- flags: allow-oom
-- Undo pause_worker. ARGV: worker. Returns 1, or 0 if it is not registered.
local worker = ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 0 end
if redis.call('SREM', paused_workers(), worker) == 1 then emit('worker.resumed', '', '', worker) end
if v[2] == 'paused' then set_worker(worker, v[1], 'ready') end
return 1
