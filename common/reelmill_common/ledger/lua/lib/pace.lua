-- What a clip takes from claim to publication, measured by the farm itself: a mean that forgets, and how far clips are
-- from it. Kept for each worker and, for one that has finished nothing yet, for its profile.

local PACE_MEMORY = 0.2 -- share of the newest clip: ten clips make up nine tenths of the mean
local UNMEASURED_MS = 30000 -- of a profile that has finished nothing: several times what a clip takes
local MARGIN_MS = 1000 -- for what the clocks of the measures cannot see, such as the way of a message

local function pace_of(key)
    local v = redis.call('HMGET', key, 'pace', 'spread')
    return tonumber(v[1] or nil), tonumber(v[2] or nil)
end

local function note_pace(key, ms)
    local mean, spread = pace_of(key)
    if mean then
        spread = (1 - PACE_MEMORY) * spread + PACE_MEMORY * math.abs(ms - mean)
        mean = (1 - PACE_MEMORY) * mean + PACE_MEMORY * ms
    end
    redis.call('HSET', key, 'pace', mean or ms, 'spread', spread or 0)
end

-- Measure a job that is being published by its worker.
local function measure(job)
    local ms = now - (redis.call('HGET', job_key(job.id), 't1') or now)
    if ms < 0 then return end -- the clock was set back meanwhile
    note_pace(lane_key(profile_of(job.lane)), ms)
    if redis.call('EXISTS', worker_key(job.worker)) == 1 then note_pace(worker_key(job.worker), ms) end
end

-- When a clip that a worker begins now is surely published.
local function surely_done(worker, lane)
    local mean, spread = pace_of(worker_key(worker))
    if not mean then mean, spread = pace_of(lane_key(profile_of(lane))) end
    if not mean then return now + UNMEASURED_MS end
    return now + 1.1 * mean + 3 * spread + MARGIN_MS
end
