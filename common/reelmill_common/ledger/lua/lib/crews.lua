-- Which live workers serve the lanes of classes. Reading that costs O(workers), so it is kept between calls, for each farm
-- and profile, and dropped when a worker comes or goes. A worker that fell silent, and what functions of another version
-- change, is seen after `CREW_SHARE` of the time for which a worker counts as live. Being wrong sends a message too many
-- or too few, and claim decides.

local CREW_SHARE = 0.1
local crews = {} -- by farm and profile: {at, lanes = {lane = {worker = true}}, counts = {lanes = number}, meets = {}}

local function drop_crews()
    if next(crews) then crews = {} end
end

-- Return the crews of a profile. `live_ms`: for how long a worker counts as live after its last beat.
local function crews_of(profile, live_ms)
    local found = crews[P .. profile]
    if found and found.at <= now and now - found.at <= CREW_SHARE * live_ms then return found end
    found = {at = now, live_ms = live_ms, lanes = {}, counts = {}, meets = {}}
    crews[P .. profile] = found
    return found
end

-- Return the live workers of a lane as a set.
local function crew_of(all, lane)
    local crew = all.lanes[lane]
    if not crew then
        crew = {}
        for _, worker in ipairs(redis.call('ZRANGEBYSCORE', live_key(lane), '(' .. (now - all.live_ms), '+inf')) do
            crew[worker] = true
        end
        all.lanes[lane] = crew
    end
    return crew
end

-- Return how many workers serve any of some lanes, each worker counted once.
local function count_of(all, lanes)
    local key = table.concat(lanes, ',')
    if not all.counts[key] then
        local seen, count = {}, 0
        for _, lane in ipairs(lanes) do
            for worker in pairs(crew_of(all, lane)) do
                if not seen[worker] then seen[worker], count = true, count + 1 end
            end
        end
        all.counts[key] = count
    end
    return all.counts[key]
end

-- Return whether some worker serves both of two lanes.
local function meet(all, lane, other)
    local key = lane .. ',' .. other
    if all.meets[key] == nil then
        all.meets[key] = false
        local crew = crew_of(all, other)
        for worker in pairs(crew_of(all, lane)) do
            if crew[worker] then
                all.meets[key] = true
                break
            end
        end
    end
    return all.meets[key]
end
