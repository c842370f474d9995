-- flags: allow-oom
-- Mark a worker as taking no more jobs. ARGV: worker. Returns 1, or 0 if it is not registered.
local worker = ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 0 end
if v[2] ~= 'quarantined' then set_worker(worker, v[1], 'draining') end
return 1
