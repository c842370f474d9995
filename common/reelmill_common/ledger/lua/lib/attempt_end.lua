-- How an attempt ends without a clip, and whether the job or the worker is to blame. `retry_rules.py` has the rules.
--
-- A job's faults are a hash: a count for each error code, `at` (milliseconds of the last one), and two lists of workers,
-- written `,a,-b,`: `on` (those on which it failed) and `killed` (those whose process died rendering it). `-b` is a worker
-- that was found to be at fault itself, so that it does not speak against the job. Lists are short: a job that failed on two
-- workers that are not at fault is at fault itself.
-- A worker's streak is the list of its failures since its last clip, each as `job code`.
--
-- Example: job J fails on `a` with bad_output: on = ',a,'. `a` then fails jobs of two more batches and is quarantined, so
-- J is cleared of it: on = ',-a,', its count for bad_output and its failures go down by one, and J is queued again. If it
-- then fails on `b` and `c`, on = ',-a,b,c,': two workers that are not at fault, so J fails for good.

local STREAK = 3 -- failed jobs in a row from which on a worker may be at fault: two bad prompts prove nothing
local STREAK_KEPT = 20
local IN_DELIVERY = {mux = true, upload = true}

-- End an attempt that does not count: the job is queued again, or cancelled if it was asked to stop.
local function give_back(job, reason)
    if job.state == 'x' then return cancel(job) end
    requeue(job, reason)
end

local function workers_in(job_id, list)
    local workers = {}
    for name in string.gmatch(redis.call('HGET', faults_key(job_id), list) or '', '[^,]+') do
        workers[#workers + 1] = name
    end
    return workers
end

local function write_workers(job_id, list, workers)
    redis.call('HSET', faults_key(job_id), list, ',' .. table.concat(workers, ',') .. ',')
end

-- Enter a worker into a list of a job's faults; return how many there are that were not at fault themselves, and their
-- names for people.
local function enter_worker(job, list, worker)
    local workers, suspects, is_there = workers_in(job.id, list), {}, false
    for _, name in ipairs(workers) do is_there = is_there or name == worker end
    if not is_there then
        workers[#workers + 1] = worker
        write_workers(job.id, list, workers)
    end
    for _, name in ipairs(workers) do
        if string.sub(name, 1, 1) ~= '-' then suspects[#suspects + 1] = name end
    end
    return #suspects, table.concat(suspects, ', ')
end

local function has_failed_elsewhere(id, worker)
    for _, name in ipairs(workers_in(id, 'on')) do
        if name ~= worker and name ~= '-' .. worker then return true end
    end
    return false
end

-- Return why a worker's failures since its last clip are its own, or nil: at least three jobs failed, of several batches or
-- and other workers have made some of one of them. A job that failed on another worker too does not count against it.
local function unfit_by_streak(worker, streak)
    local jobs, batches, count, several, made, last = {}, {}, 0, 0, false, ''
    for _, entry in ipairs(streak) do
        local id, code = string.match(entry, '^(%S+) (%S+)$')
        if not jobs[id] and not has_failed_elsewhere(id, worker) then
            local v = redis.call('HMGET', job_key(id), 'b', 's')
            jobs[id], count, last = true, count + 1, code
            if v[1] and not batches[v[1]] then batches[v[1]], several = true, several + 1 end
            made = made or v[2] == 's'
        end
    end
    if count < STREAK or not (several > 1 or made) then return nil end
    return 'failed ' .. count .. ' jobs in a row' .. (several > 1 and ' of ' .. several .. ' batches' or
        ', and others have made some of them') .. ', the last with ' .. last
end

-- A worker was at fault: clear a job of what it failed on it. Returns whether the job may be tried again because of that.
local function absolve(id, code, worker)
    for _, list in ipairs({'on', 'killed'}) do
        local workers, is_there = workers_in(id, list), false
        for i, name in ipairs(workers) do
            if name == worker then workers[i], is_there = '-' .. worker, true end
        end
        if is_there then write_workers(id, list, workers) end
    end
    local faults, key = faults_key(id), job_key(id)
    if tonumber(redis.call('HGET', faults, code) or 0) > 0 then redis.call('HINCRBY', faults, code, -1) end
    if tonumber(redis.call('HGET', key, 'k') or 0) > 0 then redis.call('HINCRBY', key, 'k', -1) end
    return redis.call('HGET', key, 's') == 'f'
end

-- Quarantine a worker by its streak, and queue again what failed because of it.
local function convict(worker, lane, reason, streak)
    quarantine(worker, lane, reason, '1')
    redis.call('DEL', streak_key(worker))
    for _, entry in ipairs(streak) do
        local id, code = string.match(entry, '^(%S+) (%S+)$')
        if absolve(id, code, worker) then requeue(load_job(id), 'worker_quarantined') end
    end
end

-- Note a failure that may be the worker's; true if that was one too many.
local function suspect(job, code)
    local key = streak_key(job.worker)
    local lane = redis.call('HGET', worker_key(job.worker), 'lane')
    if not lane then return false end
    redis.call('RPUSH', key, job.id .. ' ' .. code)
    redis.call('LTRIM', key, -STREAK_KEPT, -1)
    local streak = redis.call('LRANGE', key, 0, -1)
    local reason = unfit_by_streak(job.worker, streak)
    if reason then convict(job.worker, lane, reason, streak) end
    return reason ~= nil
end

local function write_error(job, code, message)
    redis.call('SET', error_key(job.id), cjson.encode({code = code, message = message}))
end

-- Weigh a failure for which job or worker may be to blame. `killed`: the process died rendering the job.
-- Returns 'worker' if that was quarantined for it (the job is then cleared); 'poison' or 'job', with a message, if the job
-- is at fault; or nil while that is open.
local function blame(job, code, message, killed)
    redis.call('HSET', faults_key(job.id), 'at', now)
    local failed_on, names = enter_worker(job, 'on', job.worker)
    local deaths, victims = 0, ''
    if killed then deaths, victims = enter_worker(job, 'killed', job.worker) end
    if suspect(job, code) then return 'worker' end
    if deaths > 1 then
        return 'poison', 'killed its worker twice: ' .. victims .. ' (the last time: ' .. message .. ')'
    end
    if failed_on > 1 then return 'job', message .. ' (it failed on ' .. names .. ')' end
end

-- End a failed attempt: the job is queued again while the rule of its error code and `limits.most` leave it tries and it
-- makes sense to try again (`retryable`); it is cancelled if it was asked to stop.
-- `limits`: {most = failures of a job at most, rules = JSON of `retry_rules.RULES`, blames_none = true if the failure speaks
-- against neither job nor worker}. A rule is {retries, whether a failure counts towards `most`, whether it puts job and
-- worker under suspicion}. `killed`: the process died rendering the job.
local function attempt_failed(job, code, message, retryable, limits, killed)
    local rules = cjson.decode(limits.rules)
    local retries, counts, suspects = unpack(rules[code] or rules[''])
    write_error(job, code, message)
    -- Another job's clip lies under the keys of this attempt: no later one may take it for a leftover.
    if code == 'clip_exists' then redis.call('HSET', job_key(job.id), 'u', job.attempts) end
    if job.state == 'x' then return cancel(job) end
    if counts then
        job.failures = job.failures + 1
        redis.call('HSET', job_key(job.id), 'k', job.failures)
    end
    local of_code = redis.call('HINCRBY', faults_key(job.id), code, 1)
    if suspects and job.worker ~= '' and not limits.blames_none then
        local who, why = blame(job, code, message, killed)
        if who == 'worker' then return requeue(job, 'worker_quarantined') end
        if who == 'poison' then code, message, retryable = 'poison', why, false end
        if who == 'job' and retryable then message, retryable = why, false end
        if who then write_error(job, code, message) end
    end
    if retryable and of_code <= retries and job.failures < limits.most then return requeue(job, code) end
    move(job, 'f', {}, 'job.failed', 'code', code, 'message', message)
end

-- A worker, or its process, is gone. `code` is `worker_lost` or `stalled`. A job on its way to the store did not cause it,
-- and what ended a silent host is unknown: neither puts job or worker under suspicion.
local function worker_lost(job, code, why, limits)
    local doing, killed = '', code == 'stalled' or limits.died
    if job.stage ~= '' then doing = ' at ' .. job.stage end
    local message = 'worker ' .. job.worker .. ' ' .. why .. doing
    if IN_DELIVERY[job.stage] then return attempt_failed(job, 'delivery_lost', message, true, limits, false) end
    local known = {rules = limits.rules, most = limits.most, blames_none = not killed}
    attempt_failed(job, code, message, true, known, killed)
end
