-- The server's clock may be set while a farm runs. Each reap notes what it says; if it has gone back since, or on by more
-- than ticks are ever apart, what was counted by it is moved along: leases, messages that were sent, beats, and
-- locks that end with time. What was given as a time of day (windows, starts, expiries, schedules) stays as it is. The
-- same is done where the server was away since the last reap (restarted, promoted, frozen), because no holder could renew
-- its lease. Sent messages are not moved then: the server may have forgotten them, and they are looked for at once.

local BACK_MS = 1000 -- a step, not NTP's slewing
local AHEAD_MS = 60000 -- nor a farm whose only parent was busy

local function move_scores(key, step, least, most)
    local found = redis.call('ZRANGEBYSCORE', key, least or '-inf', '+inf', 'WITHSCORES')
    for i = 1, #found, 2 do
        redis.call('ZADD', key, 'XX', math.min(found[i + 1] + step, most or math.huge), found[i])
    end
end

local function move_clock(step, away)
    move_scores(LEASES, step)
    move_scores(BEATS, step, nil, now) -- none was later than now
    if not away then move_scores(SENT, step, nil, now) end
    for _, worker in ipairs(redis.call('SMEMBERS', WORKERS)) do
        local v = redis.call('HMGET', worker_key(worker), 'seen', 'since')
        local seen = v[1] and math.min(v[1] + step, now)
        if seen then redis.call('HSET', worker_key(worker), 'seen', seen) end
        if v[2] then redis.call('HSET', worker_key(worker), 'since', v[2] + step) end
        for _, lane in ipairs(lanes_of(worker)) do
            if seen then redis.call('ZADD', live_key(lane), 'XX', seen, worker) end
        end
    end
    drop_crews()
    redis.call('DEL', P .. 'looked', P .. 'mended', P .. 'prune_turn')
    if step < 0 then
        for _, key in ipairs({RUNS, P .. 'unreported'}) do move_scores(key, step, now) end
        for _, id in ipairs(redis.call('SMEMBERS', HOOKS)) do move_scores(due_key(id), step, now) end
        local ends = redis.call('HGET', HOOK_SENDER, 'until')
        if ends then redis.call('HSET', HOOK_SENDER, 'until', ends + step) end
    end
end

local function watch_clock()
    local before = tonumber(redis.call('GET', P .. 'clock') or nil)
    redis.call('SET', P .. 'clock', now)
    if not before then return end
    local step, away = now - before, before < steady_since
    if step < -BACK_MS or step > AHEAD_MS then
        move_clock(step, away)
        emit('ledger.clock_moved', '', '', '', 'seconds', math.floor(step / 1000))
    elseif away and step > BACK_MS then
        move_clock(step, away)
    end
end
