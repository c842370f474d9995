-- Lift a quarantine: the worker is starting again. ARGV: worker. Returns 1, or 0 if it is not registered.
local worker = ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 0 end
if v[2] == 'quarantined' then forgive(worker, v[1]) end
return 1
