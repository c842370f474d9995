-- Accept a message: count the attempt and grant a lease.
-- ARGV: id, generation, worker, lease in seconds, a word that this call shares only with its own repetitions, seconds
-- without a beat after which a worker counts as dead.
-- Returns {batch, row, token, spec, milliseconds since it was sent, attempts whose objects are not ours, milliseconds
-- at which it was submitted, milliseconds for which this server surely has forgotten nothing, metadata as JSON or ''},
-- or why not.

local AVOID_MS = 60000

-- Whether a job is better left to the other workers, since it failed on this one a short while ago.
local function is_avoided(job, worker)
    local v = redis.call('HMGET', faults_key(job.id), 'on', 'at')
    if not v[1] or not v[2] or math.abs(now - v[2]) > AVOID_MS then return false end
    if not string.find(v[1], ',' .. worker .. ',', 1, true) then return false end
    return redis.call('ZCOUNT', live_key(job.lane), '(' .. (now - ARGV[6] * 1000), '+inf') > 1
end

local function answer(job, waited)
    local v = redis.call('HMGET', job_key(job.id), 'r', 'u', 't0')
    local spec = redis.call('GET', spec_key(job.id))
    return {job.batch, v[1], token_of(job), spec, waited, tonumber(v[2] or 0), tonumber(v[3]), now - steady_since,
        redis.call('GET', meta_key(job.id)) or ''}
end

local job = load_job(ARGV[1])
if not job then return 'unknown' end
if job.state == 'r' and job.fence == ARGV[5] and job.worker == ARGV[3] then
    redis.call('ZADD', LEASES, now + ARGV[4] * 1000, job.id) -- the answer was lost on the way: say it again
    return answer(job, tonumber(redis.call('HGET', worker_key(ARGV[3]), 'waited') or 0))
end
local policy = redis.call('HMGET', batch_key(job.batch), 'paused', 'shut', 'closes', 'expires')
if job.state == 'q' and (policy[1] == '1' or policy[2] == '1') then return 'held' end
if job.generation ~= tonumber(ARGV[2]) then return 'stale' end
if job.state ~= 'd' then return 'not_dispatched' end
if redis.call('EXISTS', spec_key(job.id)) == 0 then
    end_without_spec(job)
    return 'unknown'
end
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
        close_window(job.batch, 'window_closing')
        return 'closing'
    end
end
local sent = redis.call('ZSCORE', SENT, job.id) or now
job.worker, job.lease = ARGV[3], now + ARGV[4] * 1000
job.attempts, job.fence = job.attempts + 1, ARGV[5]
move(job, 'r', {'a', job.attempts, 'z', job.fence, 'w', job.worker, 't1', now}, 'job.claimed', 'attempt', job.attempts)
redis.call('HSET', worker_key(job.worker), 'waited', now - sent)
return answer(job, now - sent)
