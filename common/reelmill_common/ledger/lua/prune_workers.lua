-- flags: allow-oom
-- Forget those of some workers that were silent for long, also under quarantine; not one that still holds a lease.
-- ARGV: milliseconds of the last sign of life, workers. Returns the names of the forgotten.
local gone = {}
for i = 2, #ARGV do
    local worker = ARGV[i]
    local seen = redis.call('HGET', worker_key(worker), 'seen')
    if tonumber(seen or 0) < tonumber(ARGV[1]) and redis.call('EXISTS', held_key(worker)) == 0 then
        forget(worker)
        emit('worker.pruned', '', '', worker)
        gone[#gone + 1] = worker
    end
end
return gone
