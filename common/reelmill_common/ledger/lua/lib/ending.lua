-- How an attempt ends without a clip, and whom that speaks against. `common/faults.py` has the rules by error code.
--
-- A job's faults are a hash: a count for each code, `at` (when the last one was), `on` (workers on which it failed) and
-- `killed` (workers whose process died rendering it), both as `,a,b,`. In `on`, `-a` is a worker whose own fault it was.
-- A worker's streak is the list of its failures since its last clip, each as `job code`.

local STREAK = 3 -- failed jobs in a row from which on a worker may be at fault: one bad prompt, or two, prove nothing
local STREAK_KEPT = 20
local IN_DELIVERY = {mux = true, upload = true}

-- Not counted: back in line, or cancelled if the job was asked to stop.
local function give_back(job, reason)
    if job.state == 'x' then return cancel(job) end
    requeue(job, reason)
end

-- Enter a worker into a list of a job's faults; return how many there are that were not at fault themselves.
local function enter_worker(job, list, worker)
    local names = redis.call('HGET', faults_key(job.id), list) or ','
    if not string.find(names, ',' .. worker .. ',', 1, true) then
        names = names .. worker .. ','
        redis.call('HSET', faults_key(job.id), list, names)
    end
    local workers = {}
    for name in string.gmatch(names, '[^,]+') do
        if string.sub(name, 1, 1) ~= '-' then workers[#workers + 1] = name end
    end
    return #workers, table.concat(workers, ', ')
end

local function has_failed_elsewhere(id, worker)
    for name in string.gmatch(redis.call('HGET', faults_key(id), 'on') or '', '[^,]+') do
        if name ~= worker and name ~= '-' .. worker then return true end
    end
    return false
end

-- Whether a worker's failures since its last clip are its own: of jobs of several batches, or of one whose jobs others
-- have made. A job that failed elsewhere too speaks for the worker. Returns the reason, or nil.
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
        ', of which others have made some') .. ', the last with ' .. last
end

-- A worker was at fault: take back what it cost this job. Returns whether the job has an attempt to gain by it.
local function absolve(id, code, worker)
    local faults = faults_key(id)
    for _, list in ipairs({'on', 'killed'}) do
        local names = redis.call('HGET', faults, list)
        if names then
            local at, to = string.find(names, ',' .. worker .. ',', 1, true)
            if at then
                redis.call('HSET', faults, list, string.sub(names, 1, at) .. '-' .. worker .. string.sub(names, to))
            end
        end
    end
    if tonumber(redis.call('HGET', faults, code) or 0) > 0 then redis.call('HINCRBY', faults, code, -1) end
    local v = redis.call('HMGET', job_key(id), 'k', 's')
    if tonumber(v[1] or 0) > 0 then redis.call('HINCRBY', job_key(id), 'k', -1) end
    return v[2] == 'f'
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

-- Back in line while its class and `limits.most` leave it tries and it makes sense to try again; or cancelled if it was
-- asked to stop. `killed`: the process died rendering it.
local function attempt_failed(job, code, message, retryable, limits, killed)
    local rules = cjson.decode(limits.rules)
    local rule, faults = rules[code] or rules[''], faults_key(job.id)
    redis.call('SET', error_key(job.id), cjson.encode({code = code, message = message}))
    -- Somebody else's clip lies under the keys of this attempt: no later one may take it for a leftover.
    if code == 'clip_exists' then redis.call('HSET', job_key(job.id), 'u', job.attempts) end
    if job.state == 'x' then return cancel(job) end
    if rule[2] then
        job.failures = job.failures + 1
        redis.call('HSET', job_key(job.id), 'k', job.failures)
    end
    local of_class = redis.call('HINCRBY', faults, code, 1)
    if rule[3] and job.worker ~= '' and limits.suspects ~= false then
        redis.call('HSET', faults, 'at', now)
        local failed_on, names = enter_worker(job, 'on', job.worker)
        local deaths, victims = 0, ''
        if killed then deaths, victims = enter_worker(job, 'killed', job.worker) end
        if suspect(job, code) then return requeue(job, 'worker_quarantined') end
        if deaths > 1 then
            code, retryable = 'poison', false
            message = 'killed its worker twice: ' .. victims .. ' (the last time: ' .. message .. ')'
        elseif failed_on > 1 and retryable then
            retryable, message = false, message .. ' (it failed on ' .. names .. ')'
        end
        redis.call('SET', error_key(job.id), cjson.encode({code = code, message = message}))
    end
    if retryable and of_class <= rule[1] and job.failures < limits.most then return requeue(job, code) end
    move(job, 'f', {}, 'job.failed', 'code', code, 'message', message)
end

-- A worker, or its process, is gone. `code` is `worker_lost` or `stalled`. Of its jobs those on the way to the store were
-- bystanders, and of a silent host nobody knows what ended it: neither puts anybody under suspicion.
local function worker_lost(job, code, why, limits)
    local doing, killed = '', code == 'stalled' or limits.died
    if job.stage ~= '' then doing = ' at ' .. job.stage end
    local message = 'worker ' .. job.worker .. ' ' .. why .. doing
    if IN_DELIVERY[job.stage] then return attempt_failed(job, 'delivery_lost', message, true, limits, false) end
    local known = {rules = limits.rules, most = limits.most, suspects = killed}
    attempt_failed(job, code, message, true, known, killed)
end
