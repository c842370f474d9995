-- lib: move pace windows worker
-- Accept a message: count the attempt and grant a lease.
-- ARGV: id, generation, worker, lease in seconds. Returns {batch, row, token, spec,
-- milliseconds since it was sent}, or why not.
local job = load_job(ARGV[1])
if not job then return 'unknown' end
local policy = redis.call('HMGET', batch_key(job.batch), 'paused', 'shut', 'closes', 'expires')
if job.state == 'q' and (policy[1] == '1' or policy[2] == '1') then return 'held' end
if job.generation ~= tonumber(ARGV[2]) then return 'stale' end
if job.state ~= 'd' then return 'not_dispatched' end
local expires = tonumber(policy[4] or nil)
if expires and expires <= now then
    requeue(job, 'expired') -- and sweep ends it
    return 'held'
end
local worker = redis.call('HMGET', worker_key(ARGV[3]), 'state', 'lane', 'until')
if worker[1] ~= 'ready' or worker[2] ~= job.lane then
    requeue(job, 'worker_unfit') -- its message is used up: let pump send another at once
    return 'unfit'
end
local closes, rests = tonumber(policy[3] or nil), tonumber(worker[3] or nil)
if closes or rests then -- a clip that would end outside of a window does not start
    local done = surely_done(ARGV[3], job.lane)
    if rests and done > rests then
        requeue(job, 'worker_resting')
        rest(ARGV[3], job.lane)
        return 'closing'
    end
    if closes and done > closes then
        shut(job.batch, 'window_closing')
        return 'closing'
    end
end
local sent = redis.call('ZSCORE', SENT, job.id)
job.worker, job.lease, job.attempts = ARGV[3], now + ARGV[4] * 1000, job.attempts + 1
move(job, 'r', {'a', job.attempts, 'w', job.worker, 't1', now}, 'job.claimed', 'attempt', job.attempts)
local row, spec = redis.call('HGET', job_key(job.id), 'r'), redis.call('GET', spec_key(job.id))
return {job.batch, row, job.attempts, spec, now - sent}
