-- The one way in which a job changes its state. Where a job stands follows from its state, and only `move` changes
-- either:
--   q      in the waiting set of its batch and lane
--   d      in `sent`, counted in its lane by the priority that it was sent with
--   r, x   in `leases` and in the set of its worker
--   d,r,x  in the in-flight set of its batch
--   f, c   in the retry set of its batch

local IN_FLIGHT = {d = true, r = true, x = true}
local FINAL = {s = true, f = true, c = true}
local RETRY = {f = true, c = true}

-- Take a batch out of a lane's ready index, and the priority out of the lane's levels if that was its last batch.
local function unready(batch, lane, priority)
    redis.call('ZREM', ready_key(lane, priority), batch)
    if redis.call('EXISTS', ready_key(lane, priority)) == 0 then redis.call('SREM', levels_key(lane), priority) end
end

-- Put a batch into the ready index of its lanes, or take it out, so that pump never looks at one that may not run.
-- A batch that comes in starts at the lane's current virtual time: its idle past is neither credit nor debt.
local function reindex(batch)
    local v = redis.call('HMGET', batch_key(batch), 'paused', 'cap', 'd', 'r', 'x', 'priority', 'lanes', 'shut')
    local cap = tonumber(v[2])
    local open = v[1] ~= '1' and v[8] ~= '1' and (cap == 0 or v[3] + v[4] + v[5] < cap)
    for lane in string.gmatch(v[7], '[^,]+') do
        local ready = ready_key(lane, v[6])
        local inside = redis.call('ZSCORE', ready, batch)
        local fit = open and redis.call('EXISTS', waiting_key(batch, lane)) == 1
        if fit and not inside then
            local own = redis.call('HGET', batch_key(batch), 'v:' .. lane)
            local current = redis.call('HGET', lane_key(lane), 'v' .. v[6])
            redis.call('ZADD', ready, math.max(tonumber(own or 0), tonumber(current or 0)), batch)
            redis.call('SADD', levels_key(lane), v[6])
        elseif inside and not fit then
            unready(batch, lane, v[6])
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

local function push(list, name, value)
    list[#list + 1] = name
    list[#list + 1] = value
end

-- Move a job to another state, with all that depends on it, and tell so.
-- `fields`: more of its hash, as a list of name, value. The event's own fields follow `event`.
local function move(job, state, fields, event, ...)
    local from, batch = job.state, batch_key(job.batch)
    local hash = {'HSET', job_key(job.id), 's', state, unpack(fields)}
    if not (LEASED[from] and LEASED[state]) then
        leave(job)
        enter(job, state)
        push(hash, 'x', '')
    end
    job.state = state
    if state == 'q' or state == 'c' then
        job.generation = job.generation + 1 -- a message that is under way dies at claim
        push(hash, 'g', job.generation)
    end
    if FINAL[state] then push(hash, 't2', now) end
    redis.call(unpack(hash))
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
