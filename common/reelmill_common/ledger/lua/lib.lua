-- Put in front of every script: the key names, the clock, and the one way in which a job changes its state.
--
-- States are single letters, so that a job's hash stays a listpack of short fields:
--   q queued   d dispatched   r running   x cancel requested   s succeeded   f failed   c cancelled
--
-- Where a job stands follows from its state, and only `move` changes either:
--   q      in the waiting set of its batch and lane
--   d      in `sent`, counted in its lane by the priority that it was sent with
--   r, x   in `leases` and in the set of its worker
--   d,r,x  in the in-flight set of its batch
--   f, c   in the retry set of its batch

local P = KEYS[1] -- "reelmill:{farm}:", so that every key of a farm has one hash tag
local EVENTS_KEPT = 50000 -- about 7 MB
local clock = redis.call('TIME') -- never the caller's clock: hosts disagree
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local IN_FLIGHT = {d = true, r = true, x = true}
local LEASED = {r = true, x = true}
local FINAL = {s = true, f = true, c = true}
local RETRY = {f = true, c = true}

local SENT, LEASES, BEATS, WORKERS = P .. 'sent', P .. 'leases', P .. 'beats', P .. 'workers'

local function job_key(id) return P .. 'job:' .. id end
local function spec_key(id) return P .. 'spec:' .. id end
local function error_key(id) return P .. 'error:' .. id end
local function result_key(id) return P .. 'result:' .. id end
local function batch_key(batch) return P .. 'batch:' .. batch end
local function order_key(batch) return P .. 'order:' .. batch end
local function waiting_key(batch, lane) return P .. 'waiting:' .. batch .. ':' .. lane end
local function flight_key(batch) return P .. 'flight:' .. batch end
local function retry_key(batch) return P .. 'retry:' .. batch end
local function lane_key(lane) return P .. 'lane:' .. lane end
local function ready_key(lane, priority) return P .. 'ready:' .. lane .. ':' .. priority end
local function live_key(lane) return P .. 'live:' .. lane end
local function worker_key(worker) return P .. 'worker:' .. worker end
local function held_key(worker) return P .. 'held:' .. worker end

-- Append to the event stream; more fields follow as name, value, name, value.
local function tell(name, batch, job, worker, ...)
    redis.call('XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*',
        'e', name, 'b', batch, 'j', job, 'w', worker, ...)
end

local function load_job(id)
    local v = redis.call('HMGET', job_key(id), 's', 'b', 'l', 'n', 'g', 'p', 'a', 'k', 'w', 'x')
    if not v[1] then return nil end
    return {
        id = id, state = v[1], batch = v[2], lane = v[3], order = tonumber(v[4]), generation = tonumber(v[5]),
        priority = v[6], attempts = tonumber(v[7] or 0), failures = tonumber(v[8] or 0), worker = v[9] or '',
        stage = v[10] or '',
    }
end

-- Load a job only for the holder of its lease: nil for anybody else. The token is the number of the attempt. A lease
-- that is over but not yet reaped still is its holder's, for nobody else has the job.
local function load_leased(id, token)
    local job = load_job(id)
    if job and LEASED[job.state] and job.attempts == tonumber(token) then return job end
    return nil
end

-- Put a batch into the ready index of its lanes, or take it out, so that pump never looks at one that may not run.
-- A batch that comes in starts at the lane's current virtual time: its idle past is neither credit nor debt.
local function reindex(batch)
    local v = redis.call('HMGET', batch_key(batch), 'paused', 'cap', 'd', 'r', 'x', 'priority', 'lanes')
    local cap = tonumber(v[2])
    local open = v[1] ~= '1' and (cap == 0 or v[3] + v[4] + v[5] < cap)
    for lane in string.gmatch(v[7], '[^,]+') do
        local ready = ready_key(lane, v[6])
        local inside = redis.call('ZSCORE', ready, batch)
        local fit = open and redis.call('EXISTS', waiting_key(batch, lane)) == 1
        if fit and not inside then
            local own = redis.call('HGET', batch_key(batch), 'v:' .. lane)
            local current = redis.call('HGET', lane_key(lane), 'v' .. v[6])
            redis.call('ZADD', ready, math.max(tonumber(own or 0), tonumber(current or 0)), batch)
        elseif inside and not fit then
            redis.call('ZREM', ready, batch)
        end
    end
end

local function leave(job)
    local state = job.state
    if state == 'q' then
        redis.call('ZREM', waiting_key(job.batch, job.lane), job.id)
    elseif state == 'd' then
        redis.call('ZREM', SENT, job.id)
        redis.call('HINCRBY', lane_key(job.lane), 'd' .. job.priority, -1)
    elseif LEASED[state] then
        redis.call('ZREM', LEASES, job.id)
        redis.call('SREM', held_key(job.worker), job.id)
    elseif RETRY[state] then
        redis.call('ZREM', retry_key(job.batch), job.id)
    end
end

local function enter(job, state)
    if state == 'q' then
        -- At its old place: before whatever of the batch was never sent.
        redis.call('ZADD', waiting_key(job.batch, job.lane), job.order, job.id)
    elseif state == 'd' then
        redis.call('ZADD', SENT, now, job.id)
        redis.call('HINCRBY', lane_key(job.lane), 'd' .. job.priority, 1)
    elseif LEASED[state] then
        redis.call('ZADD', LEASES, job.lease, job.id)
        redis.call('SADD', held_key(job.worker), job.id)
    elseif RETRY[state] then
        redis.call('ZADD', retry_key(job.batch), job.order, job.id)
    end
end

-- Move a job to another state, with all that depends on it, and tell so.
-- `fields`: more of its hash, as a list of name, value. The event's own fields follow `event`.
local function move(job, state, fields, event, ...)
    local from, batch = job.state, batch_key(job.batch)
    if not (LEASED[from] and LEASED[state]) then
        leave(job)
        enter(job, state)
        redis.call('HSET', job_key(job.id), 'x', '')
    end
    job.state = state
    if state == 'q' or state == 'c' then
        job.generation = job.generation + 1 -- a message that is under way dies at claim
    end
    redis.call('HSET', job_key(job.id), 's', state, 'g', job.generation, unpack(fields))
    redis.call('HINCRBY', batch, from, -1)
    redis.call('HINCRBY', batch, state, 1)
    if IN_FLIGHT[state] and not IN_FLIGHT[from] then
        redis.call('SADD', flight_key(job.batch), job.id)
    elseif IN_FLIGHT[from] and not IN_FLIGHT[state] then
        redis.call('SREM', flight_key(job.batch), job.id)
    end
    if not (IN_FLIGHT[from] and IN_FLIGHT[state]) then reindex(job.batch) end
    tell(event, job.batch, job.id, (LEASED[from] or LEASED[state]) and job.worker or '', ...)
    if FINAL[state] then
        redis.call('HSET', job_key(job.id), 't2', now)
        local left = redis.call('HMGET', batch, 'q', 'd', 'r', 'x')
        if left[1] + left[2] + left[3] + left[4] == 0 then
            redis.call('HSET', batch, 'done', now)
            tell('batch.finished', job.batch, '', '')
        end
    elseif FINAL[from] then
        redis.call('HDEL', job_key(job.id), 't2')
        redis.call('HDEL', batch, 'done')
    end
end

-- Put a job back in line; `reason` goes to the event.
local function requeue(job, reason) move(job, 'q', {}, 'job.requeued', 'reason', reason) end

-- Put back in line what a batch has dispatched: its messages are stale from now on.
local function take_back_sent(batch, reason)
    for _, id in ipairs(redis.call('SMEMBERS', flight_key(batch))) do
        local job = load_job(id)
        if job.state == 'd' then requeue(job, reason) end
    end
end

local function cancel(job) move(job, 'c', {}, 'job.cancelled') end

-- Ask the worker to stop: it hears so when it next reports, and says when it has.
local function request_cancel(job) move(job, 'x', {}, 'job.cancel_requested') end

-- End an attempt without a clip. Asked to stop: cancelled. Not counted: back in line. Else counted as a failure, and
-- back in line while failures are left and it makes sense to try again.
local function give_back(job, reason)
    if job.state == 'x' then return cancel(job) end
    requeue(job, reason)
end

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

-- Set a worker's state. Only a ready one counts for pump.
local function set_worker(worker, lane, state, ...)
    redis.call('HSET', worker_key(worker), 'lane', lane, 'state', state, ...)
    if state == 'ready' then
        redis.call('ZADD', live_key(lane), redis.call('HGET', worker_key(worker), 'seen'), worker)
    else
        redis.call('ZREM', live_key(lane), worker)
    end
end
