-- flags: allow-oom
-- Forget workers that were silent for long, also those under quarantine; not one that still holds a lease.
-- ARGV: milliseconds of the last sign of life. Returns the names.
local gone = {}
for _, worker in ipairs(redis.call('SMEMBERS', WORKERS)) do
    local seen = redis.call('HGET', worker_key(worker), 'seen')
    if tonumber(seen or 0) < tonumber(ARGV[1]) and redis.call('EXISTS', held_key(worker)) == 0 then
        forget(worker)
        emit('worker.pruned', '', '', worker)
        gone[#gone + 1] = worker
    end
end
return gone
