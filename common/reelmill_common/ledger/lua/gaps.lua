-- flags: no-writes
-- Find keys that are missing although others point to them; changes nothing. Looks at the batches that have not ended and,
-- of each, at the jobs in flight and at the first that wait. ARGV: most jobs to look at in each set, first and last batch (by
-- time of creation) of a page; with the first page come keys that were missed before.
-- Returns kind and name of each, and of those that were missed within a week, without repetitions.
local found, names = {}, {}
local function note(kind, name)
    local text = kind .. ' ' .. name
    if not names[text] then names[text], found[#found + 1] = true, text end
end

for _, text in ipairs(ARGV[2] == '0' and redis.call('HKEYS', MISSING) or {}) do note(string.match(text, '^(%S+) (.*)$')) end
for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches', ARGV[2], ARGV[3])) do
    local v = redis.call('HMGET', batch_key(batch), 'priority', 'lanes', 'done')
    local ids = v[3] and {} or redis.call('SRANDMEMBER', flight_key(batch), ARGV[1])
    if not v[1] then note('batch', batch) end
    for lane in string.gmatch(v[3] and '' or v[2] or '', '[^,]+') do
        for _, key in ipairs(waiting_keys(batch, lane)) do
            for _, id in ipairs(redis.call('ZRANGE', key, 0, ARGV[1] - 1)) do ids[#ids + 1] = id end
        end
    end
    for _, id in ipairs(ids) do
        if redis.call('EXISTS', job_key(id)) == 0 then note('job', id) end
        if redis.call('EXISTS', spec_key(id)) == 0 then note('spec', id) end
    end
end
return found
