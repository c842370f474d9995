-- How a worker changes its state. Its field `lane` is its profile, `lanes` all that it serves: that and its classes.

local function lanes_of(worker)
    local v, lanes = redis.call('HMGET', worker_key(worker), 'lanes', 'lane'), {}
    for lane in string.gmatch(v[1] or v[2] or '', '[^,]+') do lanes[#lanes + 1] = lane end
    return lanes
end

local function set_live(worker, seen)
    for _, lane in ipairs(lanes_of(worker)) do
        if redis.call('ZADD', live_key(lane), seen, worker) == 1 then drop_crews() end
    end
end

local function unset_live(worker)
    for _, lane in ipairs(lanes_of(worker)) do
        if redis.call('ZREM', live_key(lane), worker) == 1 then drop_crews() end
    end
end

-- What a worker had fetched from the broker is not coming.
local function note_lost(worker)
    unset_live(worker)
    for _, lane in ipairs(lanes_of(worker)) do redis.call('HSET', lane_key(lane), 'lost', now) end
end

-- `lanes`: by commas, or '' if it only is known to serve its profile.
local function set_lanes(worker, lanes)
    unset_live(worker)
    if lanes == '' then return redis.call('HDEL', worker_key(worker), 'lanes') end
    redis.call('HSET', worker_key(worker), 'lanes', lanes)
    for lane in string.gmatch(lanes, '[^,]+') do redis.call('SADD', P .. 'served', lane) end
end

local function paused_workers() return P .. 'paused_workers' end -- by a person; they stay so when they are started anew

-- Only a ready one counts for pump.
local function set_worker(worker, profile, state, ...)
    if state == 'ready' and redis.call('SISMEMBER', paused_workers(), worker) == 1 then state = 'paused' end
    redis.call('HSET', worker_key(worker), 'lane', profile, 'state', state, ...)
    if state == 'ready' then
        set_live(worker, redis.call('HGET', worker_key(worker), 'seen'))
    else
        unset_live(worker)
    end
end

local function rest(worker, profile)
    set_worker(worker, profile, 'resting')
    emit('worker.rested', '', '', worker)
end

-- `may_return`: '1' if it is for failed jobs, which a fresh process may end; else a person has to look first.
local function quarantine(worker, profile, reason, may_return)
    set_worker(worker, profile, 'quarantined', 'reason', reason, 'since', now, 'may_return', may_return)
    emit('worker.quarantined', '', '', worker, 'reason', reason)
end

local function forgive(worker, profile)
    set_worker(worker, profile, 'starting', 'reason', '', 'may_return', '')
    redis.call('DEL', streak_key(worker))
    emit('worker.forgiven', '', '', worker)
end

local BEAT_SHARE = 0.2 -- of the time for which a worker counts as live: a beat sooner after the last is not written

-- Note that a worker's parent lives, unless its last beat is younger than so many milliseconds; lift a quarantine for failed
-- jobs that has lasted for `patience` milliseconds (0: never). Returns the worker's profile, or nil if it is not registered.
local function beat(worker, patience, least_age)
    local v = redis.call('HMGET', worker_key(worker), 'lane', 'state', 'may_return', 'since', 'seen')
    if not v[1] then return nil end
    local age = now - (v[5] or 0)
    if age < 0 or age >= least_age then
        redis.call('HSET', worker_key(worker), 'seen', now)
        if redis.call('ZADD', BEATS, now, worker) == 1 then emit('worker.returned', '', '', worker) end
        if v[2] == 'ready' then set_live(worker, now) end
    end
    if v[2] == 'quarantined' and v[3] == '1' and patience > 0 and now - v[4] >= patience then forgive(worker, v[1]) end
    return v[1]
end

-- Remove all that is known of a worker; none that holds a lease.
local function forget(worker)
    redis.call('SREM', WORKERS, worker)
    redis.call('ZREM', BEATS, worker)
    redis.call('ZREM', P .. 'lost', worker)
    redis.call('SREM', paused_workers(), worker)
    unset_live(worker)
    redis.call('UNLINK', worker_key(worker), streak_key(worker), P .. 'name:' .. worker)
end
