-- flags: allow-oom
-- Forget a worker that is gone. ARGV: worker, seconds within which a live one must have beaten.
-- Returns 'forgotten', 'live' if it lives, 'busy' if it still holds a lease, or false if it is not registered.
local worker = ARGV[1]
local seen = redis.call('HGET', worker_key(worker), 'seen')
if not seen and redis.call('SISMEMBER', WORKERS, worker) == 0 then return false end
if now - (seen or 0) < ARGV[2] * 1000 then return 'live' end
if redis.call('EXISTS', held_key(worker)) == 1 then return 'busy' end
forget(worker)
emit('worker.forgotten', '', '', worker)
return 'forgotten'
