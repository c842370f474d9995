-- flags: allow-oom
-- Mark a worker unfit; it keeps the leases that it has. ARGV: worker, reason. Returns 1, or 0 if not registered.
local worker = ARGV[1]
local lane = redis.call('HGET', worker_key(worker), 'lane')
if not lane then return 0 end
quarantine(worker, lane, ARGV[2], '')
return 1
