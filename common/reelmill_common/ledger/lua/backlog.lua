-- flags: no-writes
-- Read a page of what pump goes by, for a forecast: what is left of batches; changes nothing. Costs O(batches + their jobs in
-- flight). ARGV: first, last (by time of creation). Returns {milliseconds now, batches that are not done, oldest first}:
--   {name, its fields in the order of `FIELDS`, which `backlog.py` repeats, {lane, jobs left, …},
--     {lane, priority, jobs that wait, virtual time or '', …}, {id, lane, priority, 1 if it runs, milliseconds since it was sent or claimed, worker, …},
--     the spec of its next job if no clip of it is measured, or '', {profile, virtual time, …}}
local FIELDS = {'priority', 'weight', 'cap', 'paused', 'shut', 'window', 'start', 'unmet', 'lanes', 'done', 'own', 'h',
    'owner', 'closes', 'expires', 'after_any', 'f', 'c', 'cost:gpu', 'cost:clips', 'finish_by'}
local batches = {}

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

for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches', ARGV[1], ARGV[2])) do
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
return {now, batches}
