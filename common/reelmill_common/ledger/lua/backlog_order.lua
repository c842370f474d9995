-- flags: no-writes
-- Read the order between owners, for a forecast; changes nothing. ARGV: lanes that have work. Returns {order, clocks, lanes}:
--   order: {lane, priority, {owner, virtual time, …}}, also of the profiles of the lanes
--   clocks of profiles: {profile, {virtual time by priority from 0 to 9}, milliseconds from a claim to its clip or ''}
--   lanes of classes that have work
local order, clocks, classes, lanes, profiles = {}, {}, {}, {}, {}

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

for _, lane in ipairs(ARGV) do note_lane(lane) end
return {order, clocks, classes}
