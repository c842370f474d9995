-- How an attempt ends without a clip.

-- Not counted: back in line, or cancelled if the job was asked to stop.
local function give_back(job, reason)
    if job.state == 'x' then return cancel(job) end
    requeue(job, reason)
end

-- Counted: back in line while failures are left and it makes sense to try again, or cancelled if asked to stop.
local function attempt_failed(job, code, message, retryable, max_attempts)
    redis.call('SET', error_key(job.id), cjson.encode({code = code, message = message}))
    if job.state == 'x' then return cancel(job) end
    job.failures = job.failures + 1
    redis.call('HSET', job_key(job.id), 'k', job.failures)
    if retryable and job.failures < max_attempts then return requeue(job, code) end
    move(job, 'f', {}, 'job.failed', 'code', code, 'message', message)
end

local function worker_lost(job, why, max_attempts)
    local doing = ''
    if job.stage ~= '' then doing = ' at ' .. job.stage end
    attempt_failed(job, 'worker_lost', 'worker ' .. job.worker .. ' ' .. why .. doing, true, max_attempts)
end
