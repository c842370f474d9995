-- Accept a message: count the attempt and grant a lease.
-- ARGV: id, generation, worker, lease in seconds, a word that this call shares only with its own repetitions, seconds
-- without a beat after which a worker counts as dead.
-- Returns {batch, row, token, spec, milliseconds since it was sent, attempts whose objects are not ours, milliseconds
-- at which it was submitted, milliseconds for which this server surely has forgotten nothing, metadata as JSON or ''},
-- or why not.

local AVOID_MS = 60000

-- Whether a job is better left to the other workers, since it failed on this one a short while ago.
local function is_avoided(job, worker)
    local workers, at = unpack(redis.call('HMGET', faults_key(job.id), 'on', 'at'))
    if not workers or not at or math.abs(now - at) > AVOID_MS then return false end
    if not string.find(workers, ',' .. worker .. ',', 1, true) then return false end
    return redis.call('ZCOUNT', live_key(job.lane), '(' .. (now - ARGV[6] * 1000), '+inf') > 1
end

local function answer(job, waited)
    local row, foreign, submitted = unpack(redis.call('HMGET', job_key(job.id), 'r', 'u', 't0'))
    local spec = redis.call('GET', spec_key(job.id))
    return {job.batch, row, token_of(job), spec, waited, tonumber(foreign or 0), tonumber(submitted),
        now - steady_since, redis.call('GET', meta_key(job.id)) or ''}
end

local id, generation, node, lease_ms, word = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] * 1000, ARGV[5]
local job = load_job(id)
if not job then return 'unknown' end
if job.state == 'r' and job.fence == word and job.worker == node then
    redis.call('ZADD', LEASES, now + lease_ms, job.id) -- the answer was lost on the way: say it again
    return answer(job, tonumber(redis.call('HGET', worker_key(node), 'waited') or 0))
end
local paused, shut, closes, expires, recall, why = unpack(
    redis.call('HMGET', batch_key(job.batch), 'paused', 'shut', 'closes', 'expires', 'recall', 'recall_why'))
if job.state == 'q' and (paused == '1' or shut == '1') then return 'held' end
if job.generation ~= generation then return 'stale' end
if job.state ~= 'd' then return 'not_dispatched' end
if recall and tonumber(redis.call('ZSCORE', SENT, job.id) or 0) <= tonumber(recall) then
    requeue(job, why) -- as `recall` would do, which has not met it yet
    return 'held'
end
if redis.call('EXISTS', spec_key(job.id)) == 0 then
    end_without_spec(job)
    return 'unknown'
end
closes, expires = tonumber(closes or nil), tonumber(expires or nil)
if expires and expires <= now then
    requeue(job, 'expired') -- and sweep ends it
    return 'held'
end
local state, profile, rests, lanes = unpack(
    redis.call('HMGET', worker_key(node), 'state', 'lane', 'until', 'lanes'))
rests = tonumber(rests or nil)
if state ~= 'ready' or not string.find(',' .. (lanes or profile or '') .. ',', ',' .. job.lane .. ',', 1, true) then
    requeue(job, 'worker_unfit') -- its message is used up: let pump send another at once
    return 'unfit'
end
if job.attempts > 0 and is_avoided(job, node) then
    requeue(job, 'avoided')
    return 'avoided'
end
if closes or rests then -- a clip that would end outside of a window does not start
    local done = surely_done(node, job.lane)
    if rests and done > rests then
        requeue(job, 'worker_resting')
        rest(node, profile)
        return 'closing'
    end
    if closes and done > closes then
        close_window(job.batch, 'window_closing')
        return 'closing'
    end
end
local sent = redis.call('ZSCORE', SENT, job.id) or now
job.worker, job.lease = node, now + lease_ms
job.attempts, job.fence = job.attempts + 1, word
move(job, 'r', {'a', job.attempts, 'z', job.fence, 'w', job.worker, 't1', now}, 'job.claimed', 'attempt', job.attempts)
redis.call('HSET', worker_key(job.worker), 'waited', now - sent)
return answer(job, now - sent)
