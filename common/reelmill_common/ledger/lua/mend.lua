-- Look after what nothing else would find: sets and counters that contradict the jobs because a key is missing. Looks at a
-- page of what is in flight and of the batches, and changes nothing where nothing is missing. What owners and lanes have in
-- flight is counted anew only if the sums are wrong.
-- ARGV: seconds between two looks of the whole farm, most batches, milliseconds of a lease that is made anew.
if not redis.call('SET', P .. 'mended', 1, 'NX', 'PX', math.floor(ARGV[1] * 1000)) then return 0 end

local PAGE = 50 -- jobs of each set
local FLIGHT_MOST = 25 -- of the jobs in flight of one batch
local most, lease_ms = tonumber(ARGV[2]), ARGV[3]
local lanes = {}

-- Return the next page of a sorted set; the place is kept in a key.
local function next_page(set, place)
    local from = tonumber(redis.call('GET', P .. place) or 0)
    local ids = redis.call('ZRANGE', set, from, from + PAGE - 1)
    if #ids < PAGE then redis.call('DEL', P .. place) else redis.call('SET', P .. place, from + PAGE) end
    return ids
end

for _, id in ipairs(next_page(SENT, 'mend_sent')) do
    local job = load_or_drop(id)
    if job and job.state == 'd' then
        redis.call('SADD', flight_key(job.batch), id)
        redis.call('ZADD', P .. 'batches', 'NX', now, job.batch)
    elseif job then
        redis.call('ZREM', SENT, id)
    end
end
for _, id in ipairs(next_page(LEASES, 'mend_leases')) do
    local job = load_or_drop(id)
    if job and LEASED[job.state] then
        redis.call('SADD', flight_key(job.batch), id)
        redis.call('SADD', held_key(job.worker), id)
        redis.call('ZADD', P .. 'batches', 'NX', now, job.batch)
    elseif job then
        redis.call('ZREM', LEASES, id)
    end
end
for _, worker in ipairs(next_page(BEATS, 'mend_beats')) do
    if redis.call('EXISTS', worker_key(worker)) == 1 then redis.call('SADD', WORKERS, worker) end
end

-- A batch's jobs in flight stand in `sent` or in `leases`, and what waits for a time in the set of that time. Of many jobs
-- some are looked at, others the next time.
local function mend_flight(batch)
    for _, id in ipairs(redis.call('SRANDMEMBER', flight_key(batch), FLIGHT_MOST)) do
        local job = load_or_drop(id, batch)
        if job and job.state == 'd' and not redis.call('ZSCORE', SENT, id) then
            redis.call('ZADD', SENT, now, id)
        elseif job and LEASED[job.state] and not redis.call('ZSCORE', LEASES, id) then
            redis.call('ZADD', LEASES, now + lease_ms, id)
        elseif job and not IN_FLIGHT[job.state] then
            redis.call('SREM', flight_key(batch), id)
        end
    end
end

local function mend_times(batch)
    local early, start, expires, window, unmet = unpack(
        redis.call('HMGET', batch_key(batch), 'early', 'start', 'expires', 'window', 'unmet'))
    if early == '1' and start then redis.call('ZADD', STARTS, 'NX', start, batch) end
    if (expires or '') ~= '' and tonumber(expires) > now then redis.call('ZADD', EXPIRIES, 'NX', expires, batch) end
    if (window or '') ~= '' then redis.call('ZADD', WINDOWS, 'NX', 0, batch) end
    for name in string.gmatch(unmet or '', '[^,]+') do redis.call('SADD', dependants_key(name), batch) end
    if (unmet or '') ~= '' then settle_after(batch) end
end

-- Whether the counters are what the sets have: if not, a set is missing, or was.
local function is_whole(batch)
    local lanes, queued, held_count, dispatched, running, cancelling = unpack(
        redis.call('HMGET', batch_key(batch), 'lanes', 'q', 'h', 'd', 'r', 'x'))
    local waiting, held = 0, 0
    for lane in string.gmatch(lanes, '[^,]+') do
        for _, key in ipairs(waiting_keys(batch, lane)) do waiting = waiting + redis.call('ZCARD', key) end
        held = held + redis.call('ZCARD', hold_key(batch, lane))
    end
    return waiting == tonumber(queued or -1) and held == tonumber(held_count or 0)
        and redis.call('SCARD', flight_key(batch)) == (dispatched or 0) + (running or 0) + (cancelling or 0)
end

local function mend_index(batch)
    local names, owner, priority_of_batch, own_priorities = unpack(
        redis.call('HMGET', batch_key(batch), 'lanes', 'owner', 'priority', 'own'))
    owner = owner or ''
    redis.call('SADD', OWNERS, owner)
    reindex(batch)
    for lane in string.gmatch(names, '[^,]+') do
        lanes[lane] = true
        for priority in string.gmatch((priority_of_batch or '') .. (own_priorities or ''), '%d') do
            if redis.call('ZSCORE', share_key(lane, priority, owner), batch) then
                redis.call('SADD', owner_levels_key(owner), lane .. ':' .. priority)
                place_owner(owner, lane, priority)
                if redis.call('EXISTS', ready_key(lane, priority)) == 1 then
                    redis.call('SADD', levels_key(lane), priority)
                    if lane ~= profile_of(lane) then redis.call('SADD', classes_key(profile_of(lane)), lane) end
                end
            end
        end
    end
end

local function mend_batch(batch)
    if redis.call('EXISTS', batch_key(batch), order_key(batch)) == 0 then
        note_missing('batch', batch, batch)
        return redis.call('ZREM', P .. 'batches', batch)
    end
    ensure_batch(batch)
    if redis.call('HEXISTS', batch_key(batch), 'done') == 1 then return end
    mend_flight(batch)
    mend_times(batch)
    if not is_whole(batch) then
        restore(batch)
        recount(batch)
        emit('batch.mended', batch, '', '')
    end
    mend_index(batch)
end

local from = tonumber(redis.call('GET', P .. 'mend_from') or 0)
local batches = redis.call('ZRANGE', P .. 'batches', from, from + most - 1)
for _, batch in ipairs(batches) do mend_batch(batch) end
redis.call('SET', P .. 'mend_from', #batches < most and 0 or from + #batches)

-- Return what owners and lanes have in flight by their counters.
local function sums()
    local flying, sent = 0, 0
    for _, owner in ipairs(redis.call('SMEMBERS', OWNERS)) do
        flying = flying + (redis.call('HGET', owner_key(owner), 'n') or 0)
    end
    for lane in pairs(lanes) do
        for _, count in ipairs(redis.call('HMGET', lane_key(lane), 'd0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7', 'd8',
            'd9')) do sent = sent + (count or 0) end
    end
    return flying, sent
end

local function count_anew()
    local sent, flying = {}, {}
    for _, set in ipairs({SENT, LEASES}) do
        for _, id in ipairs(redis.call('ZRANGE', set, 0, -1)) do
            local job = load_job(id)
            if job and IN_FLIGHT[job.state] then
                local owner, place = redis.call('HGET', batch_key(job.batch), 'owner') or '', 'd' .. (job.priority or '')
                flying[owner] = (flying[owner] or 0) + 1
                lanes[job.lane], sent[job.lane] = true, sent[job.lane] or {}
                if job.state == 'd' then sent[job.lane][place] = (sent[job.lane][place] or 0) + 1 end
            end
        end
    end
    for _, owner in ipairs(redis.call('SMEMBERS', OWNERS)) do
        if tonumber(redis.call('HGET', owner_key(owner), 'n') or 0) ~= (flying[owner] or 0) then
            redis.call('HSET', owner_key(owner), 'n', flying[owner] or 0)
            replace_owner(owner)
        end
    end
    for lane in pairs(lanes) do
        for priority = 0, 9 do
            local count = (sent[lane] or {})['d' .. priority] or 0
            if tonumber(redis.call('HGET', lane_key(lane), 'd' .. priority) or 0) ~= count then
                redis.call('HSET', lane_key(lane), 'd' .. priority, count)
            end
        end
    end
end

for _, lane in ipairs(redis.call('SMEMBERS', P .. 'served')) do lanes[lane] = true end
local flying, sent = sums()
local is_few = redis.call('ZCARD', SENT) + redis.call('ZCARD', LEASES) <= 2 * PAGE
if is_few or sent ~= redis.call('ZCARD', SENT) or flying ~= redis.call('ZCARD', SENT) + redis.call('ZCARD', LEASES) then
    count_anew()
end
return #batches
