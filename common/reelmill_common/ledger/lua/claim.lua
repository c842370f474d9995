-- lib: move
-- Accept a message: count the attempt and grant a lease.
-- ARGV: id, generation, worker, lease in seconds. Returns {batch, row, token, spec}, or why not.
local job = load_job(ARGV[1])
if not job then return 'unknown' end
if job.state == 'q' and redis.call('HGET', batch_key(job.batch), 'paused') == '1' then return 'held' end
if job.generation ~= tonumber(ARGV[2]) then return 'stale' end
if job.state ~= 'd' then return 'not_dispatched' end
local worker = redis.call('HMGET', worker_key(ARGV[3]), 'state', 'lane')
if worker[1] ~= 'ready' or worker[2] ~= job.lane then
    requeue(job, 'worker_unfit') -- its message is used up: let pump send another at once
    return 'unfit'
end
job.worker, job.lease, job.attempts = ARGV[3], now + ARGV[4] * 1000, job.attempts + 1
move(job, 'r', {'a', job.attempts, 'w', job.worker, 't1', now}, 'job.claimed', 'attempt', job.attempts)
return {job.batch, redis.call('HGET', job_key(job.id), 'r'), job.attempts, redis.call('GET', spec_key(job.id))}
