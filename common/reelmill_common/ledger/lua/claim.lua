-- Accept a message: count the attempt and grant a lease.
-- ARGV: id, generation, worker, lease in seconds, a word that this call shares only with its own repetitions or '',
-- seconds without a beat after which a worker counts as dead.
-- Returns {batch, row, token, spec, milliseconds since it was sent, attempts whose objects are not ours, milliseconds
-- at which it was submitted, metadata as JSON or ''}, or why not.

local AVOID_MS = 60000

-- Whether a job is better left to the other workers, since it failed on this one a short while ago.
local function is_avoided(job, worker)
    local v = redis.call('HMGET', faults_key(job.id), 'on', 'at')
    if not v[1] or not v[2] or now - v[2] > AVOID_MS then return false end
    if not string.find(v[1], ',' .. worker .. ',', 1, true) then return false end
    return redis.call('ZCOUNT', live_key(job.lane), '(' .. (now - ARGV[6] * 1000), '+inf') > 1
end

local function answer(job, waited)
    local v = redis.call('HMGET', job_key(job.id), 'r', 'u', 't0')
    local spec = redis.call('GET', spec_key(job.id))
    return {job.batch, v[1], job.attempts, spec, waited, tonumber(v[2] or 0), tonumber(v[3]),
        redis.call('GET', meta_key(job.id)) or ''}
end

local job = load_job(ARGV[1])
if not job then return 'unknown' end
if job.state == 'r' and ARGV[5] ~= '' and job.worker == ARGV[3] then -- the answer was lost on the way: say it again
    local v = redis.call('HMGET', worker_key(ARGV[3]), 'asked', 'waited')
    if v[1] == job.id .. ' ' .. ARGV[5] then
        redis.call('ZADD', LEASES, now + ARGV[4] * 1000, job.id)
        return answer(job, tonumber(v[2]))
    end
end
local policy = redis.call('HMGET', batch_key(job.batch), 'paused', 'shut', 'closes', 'expires')
if job.state == 'q' and (policy[1] == '1' or policy[2] == '1') then return 'held' end
if job.generation ~= tonumber(ARGV[2]) then return 'stale' end
if job.state ~= 'd' then return 'not_dispatched' end
local expires = tonumber(policy[4] or nil)
if expires and expires <= now then
    requeue(job, 'expired') -- and sweep ends it
    return 'held'
end
local worker = redis.call('HMGET', worker_key(ARGV[3]), 'state', 'lane', 'until', 'lanes')
local lanes = ',' .. (worker[4] or worker[2] or '') .. ','
if worker[1] ~= 'ready' or not string.find(lanes, ',' .. job.lane .. ',', 1, true) then
    requeue(job, 'worker_unfit') -- its message is used up: let pump send another at once
    return 'unfit'
end
if job.attempts > 0 and is_avoided(job, ARGV[3]) then
    requeue(job, 'avoided')
    return 'avoided'
end
local closes, rests = tonumber(policy[3] or nil), tonumber(worker[3] or nil)
if closes or rests then -- a clip that would end outside of a window does not start
    local done = surely_done(ARGV[3], job.lane)
    if rests and done > rests then
        requeue(job, 'worker_resting')
        rest(ARGV[3], worker[2])
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
redis.call('HSET', worker_key(job.worker), 'asked', job.id .. ' ' .. ARGV[5], 'waited', now - sent)
return answer(job, now - sent)
