-- List a page of the jobs of all lanes that were sent a while ago and not claimed, unless their messages were looked for
-- shortly before. While all workers are busy a message waits for those before it, so a job counts only after the time that
-- these take.
-- ARGV: seconds that a message may take to an idle worker, seconds between two looks of the whole farm, most jobs of a page,
-- jobs that are sent to each worker at once, where the page begins: '' begins a look, any other is from the page before.
-- Returns {{lane, milliseconds at which a worker of the lane was last lost or the server was started, for it may remember
-- messages as fetched whose end it has forgotten}, …} for the lanes of these jobs, {id, generation, milliseconds at
-- which it was sent, lane} for each, and where the next page begins, or '' if this is the last.
local most, place = tonumber(ARGV[3]), ARGV[5]
if place == '' and not redis.call('SET', P .. 'looked', 1, 'NX', 'PX', math.floor(ARGV[2] * 1000)) then
    return {{}, {}, ''}
end

-- How long a message of a profile may take while all workers are busy.
local function patience_of(profile)
    local mean, spread = pace_of(lane_key(profile))
    local least = ARGV[1] * 1000
    if not mean or redis.call('ZCARD', LEASES) < redis.call('ZCARD', live_key(profile)) then return least end
    return least + ARGV[4] * mean + 3 * spread
end

local patience, least = {}, math.huge
for _, lane in ipairs(redis.call('SMEMBERS', P .. 'served')) do
    local profile = profile_of(lane)
    patience[profile] = patience[profile] or patience_of(profile)
    least = math.min(least, patience[profile])
end
if least == math.huge then least = ARGV[1] * 1000 end

-- A place is the time of a page's last job, and how many jobs of that time have been looked at.
local from, passed = string.match(place, '^(.+) (%d+)$')
local ids = redis.call('ZRANGEBYSCORE', SENT, from or '-inf', now - least, 'WITHSCORES', 'LIMIT', passed or 0, most)
local last, same = ids[#ids], 0
local lanes, met, found = {}, {}, {}
for i = 1, #ids, 2 do
    if ids[i + 1] == last then same = same + 1 end
    local v = redis.call('HMGET', job_key(ids[i]), 'l', 'g', 's')
    if v[3] == 'd' and now - ids[i + 1] >= (patience[profile_of(v[1])] or 0) then
        found[#found + 1] = {ids[i], tonumber(v[2]), ids[i + 1], v[1]}
        if not met[v[1]] then
            met[v[1]] = true
            lanes[#lanes + 1] = {v[1], math.max(steady_since, tonumber(redis.call('HGET', lane_key(v[1]), 'lost') or 0))}
        end
    end
end
if #ids < 2 * most then return {lanes, found, ''} end
return {lanes, found, last .. ' ' .. (same + (last == from and passed or 0))}
