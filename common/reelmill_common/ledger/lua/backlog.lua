-- flags: no-writes
-- Read all that pump goes by, for a forecast; changes nothing. Costs O(batches that are not done + jobs in flight).
-- Returns {milliseconds now, batches, workers, owners, order of owners, clocks of profiles, lanes of classes}:
--   batches, oldest first: {name, its fields in the order of `FIELDS`, which `backlog.py` repeats, {lane, jobs left, …},
--     {lane, priority, jobs that wait, virtual time or '', …}, {id, lane, priority, 1 if it runs, milliseconds since it was sent or claimed, worker, …},
--     the spec of its next job if no clip of it is measured, or '', {profile, virtual time, …}}
--   workers: {name, lanes by commas, state, milliseconds since it was seen, window}
--   owners: {name, {field, value, …}, {lane:priority where it has batches that may run, …}}
--   order of owners: {lane, priority, {owner, virtual time, …}}
--   clocks of profiles: {profile, {virtual time by priority from 0 to 9}, milliseconds from a claim to its clip or ''}
local FIELDS = {'priority', 'weight', 'cap', 'paused', 'shut', 'window', 'start', 'unmet', 'lanes', 'done', 'own', 'h',
    'owner', 'closes', 'expires', 'after_any', 'f', 'c', 'cost:gpu', 'cost:clips', 'finish_by'}
local batches, workers, owners, order, clocks, classes = {}, {}, {}, {}, {}, {}
local lanes, profiles = {}, {}

local function note_lane(lane)
    if lanes[lane] then return end
    lanes[lane] = true
    local profile = profile_of(lane)
    if not profiles[profile] then
        profiles[profile] = true
        clocks[#clocks + 1] = {profile, redis.call('HMGET', lane_key(profile), 'v0', 'v1', 'v2', 'v3', 'v4', 'v5', 'v6',
            'v7', 'v8', 'v9'), redis.call('HGET', lane_key(profile), 'pace') or ''}
        for _, name in ipairs(redis.call('SMEMBERS', classes_key(profile))) do classes[#classes + 1] = name end
        note_lane(profile)
    end
    for _, priority in ipairs(redis.call('SMEMBERS', levels_key(lane))) do
        order[#order + 1] = {lane, priority, redis.call('ZRANGE', ready_key(lane, priority), 0, -1, 'WITHSCORES')}
    end
end

local function lines_of(batch, fields, left)
    local lines, first = {}, false
    local function line(lane, priority, key)
        local count = redis.call('ZCARD', key)
        if count == 0 then return end
        left[lane] = left[lane] + count
        first = first or redis.call('ZRANGE', key, 0, 0)[1]
        for _, value in ipairs({lane, priority, count,
            redis.call('ZSCORE', share_key(lane, priority, fields.owner), batch) or ''}) do lines[#lines + 1] = value end
    end
    for lane in string.gmatch(fields.lanes, '[^,]+') do
        note_lane(lane)
        left[lane] = 0
        line(lane, fields.priority, waiting_key(batch, lane))
        for own in string.gmatch(fields.own or '', '%d') do line(lane, own, waiting_key(batch, lane, own)) end
    end
    return lines, first
end

local function flight_of(batch, fields, left)
    local flight = {}
    for _, id in ipairs(redis.call('SMEMBERS', flight_key(batch))) do
        local lane, priority, state, claimed, worker = unpack(
            redis.call('HMGET', job_key(id), 'l', 'p', 's', 't1', 'w'))
        if lane then
            local since = LEASED[state] and claimed or redis.call('ZSCORE', SENT, id)
            left[lane] = (left[lane] or 0) + 1
            for _, value in ipairs({id, lane, priority or fields.priority, LEASED[state] and 1 or 0,
                since and math.max(0, now - since) or 0, worker or ''}) do flight[#flight + 1] = value end
        end
    end
    return flight
end

for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches', 0, -1)) do
    local values, fields = redis.call('HMGET', batch_key(batch), unpack(FIELDS)), {}
    for i, name in ipairs(FIELDS) do fields[name] = values[i] end
    if fields.priority and fields.lanes and fields.owner and not fields.done then
        local left, flat = {}, {}
        local lines, first = lines_of(batch, fields, left)
        local flight = flight_of(batch, fields, left)
        for lane, count in pairs(left) do
            flat[#flat + 1] = lane
            flat[#flat + 1] = count
        end
        for i = 1, #FIELDS do values[i] = values[i] or '' end
        local spec = not fields['cost:clips'] and first and redis.call('GET', spec_key(first)) or ''
        local used = {}
        for lane in string.gmatch(fields.lanes, '[^,]+') do
            local time = redis.call('HGET', batch_key(batch), 'v:' .. profile_of(lane))
            if time then
                used[#used + 1] = profile_of(lane)
                used[#used + 1] = time
            end
        end
        batches[#batches + 1] = {batch, values, flat, lines, flight, spec, used}
    end
end
for _, worker in ipairs(redis.call('SMEMBERS', WORKERS)) do
    local profile, state, seen, window, lanes = unpack(
        redis.call('HMGET', worker_key(worker), 'lane', 'state', 'seen', 'window', 'lanes'))
    if profile and seen then
        workers[#workers + 1] = {worker, lanes or profile, state, math.max(0, now - seen), window or ''}
    end
end
for _, owner in ipairs(redis.call('SMEMBERS', OWNERS)) do
    owners[#owners + 1] = {owner, redis.call('HGETALL', owner_key(owner)), redis.call('SMEMBERS',
        owner_levels_key(owner))}
end
return {now, batches, workers, owners, order, clocks, classes}
