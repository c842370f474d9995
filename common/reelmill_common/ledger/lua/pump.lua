-- Choose what the lanes of a profile run next and mark it dispatched: the most urgent priority, there the owner whose
-- turn it is, of the owner's batches the one whose turn it is, and of that the first job. Costs O(log n) for each job,
-- whatever waits, times the lanes of a class that have work.
-- ARGV: a lane of the profile, depth, seconds within which a worker must have beaten, most jobs to choose.
-- Returns {id, generation, priority, spec, batch, lane} for each.
local profile, depth, most = profile_of(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local since, chosen = '(' .. (now - ARGV[3] * 1000), {}
local workers = redis.call('ZCOUNT', live_key(profile), since, '+inf')
if depth * workers == 0 then return chosen end

-- `sent` counts what is dispatched at the priority looked at and above: less urgent ones must not block an urgent one.
local function look_at(name)
    local lane = {name = name, sent = 0, levels = {}}
    for _, priority in ipairs(redis.call('SMEMBERS', levels_key(name))) do
        lane.levels[tonumber(priority)], lane.busy = true, true
    end
    lane.counts = redis.call('HMGET', lane_key(name), 'd0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7', 'd8', 'd9')
    for _, count in ipairs(lane.counts) do lane.busy = lane.busy or tonumber(count or 0) > 0 end
    return lane
end

local general = look_at(profile) -- every worker of the profile serves it
local lanes, classes = {general}, {}
for _, name in ipairs(redis.call('SMEMBERS', classes_key(profile))) do
    local lane = look_at(name)
    if lane.busy then
        lane.crew = redis.call('ZRANGEBYSCORE', live_key(name), since, '+inf')
        lanes[#lanes + 1], classes[#classes + 1] = lane, lane
    else
        redis.call('SREM', classes_key(profile), name)
    end
end

-- Lanes of a class that share a worker share what may be sent to all their workers together: `near` and its `places`.
local function places_of(some)
    local seen, count = {}, 0
    for _, lane in ipairs(some) do
        for _, worker in ipairs(lane.crew) do
            if not seen[worker] then seen[worker], count = true, count + 1 end
        end
    end
    return depth * count, seen
end

for _, lane in ipairs(classes) do
    local _, own = places_of({lane})
    lane.near = {}
    for _, other in ipairs(classes) do
        for _, worker in ipairs(other.crew) do
            if own[worker] then
                lane.near[#lane.near + 1] = other
                break
            end
        end
    end
    lane.places = places_of(lane.near)
end
local class_places = places_of(classes)

local function sent_of(some)
    local sum = 0
    for _, lane in ipairs(some) do sum = sum + lane.sent end
    return sum
end

local function has_room(lane)
    if #classes == 0 then return lane.sent < depth * workers end
    local all = sent_of(classes)
    -- Beyond its workers' places a class takes none from the general lane: whoever else is there must not idle.
    if lane == general then return lane.sent + math.min(all, class_places) < depth * workers end
    return lane.sent < depth * #lane.crew and sent_of(lane.near) < lane.places
        and general.sent + all < depth * workers
end

-- Return the lane, of those that have room, where the owner and then the batch is that whose turn is first.
local next_turn
function next_turn(priority)
    local best
    for _, lane in ipairs(lanes) do
        local first = lane.levels[priority] and has_room(lane)
            and redis.call('ZRANGE', ready_key(lane.name, priority), 0, 0, 'WITHSCORES')
        if first and first[1] then
            local share = redis.call('ZRANGE', share_key(lane.name, priority, first[1]), 0, 0, 'WITHSCORES')
            if not share[1] then -- the owner's share is missing
                place_owner(first[1], lane.name, priority)
                return next_turn(priority)
            end
            local turn = {
                lane = lane, owner = first[1], owner_start = tonumber(first[2]), batch = share[1],
                start = tonumber(share[2]),
            }
            -- On a tie a class goes first: its jobs have fewer places to go to.
            if not best or turn.owner_start < best.owner_start
                or turn.owner_start == best.owner_start and turn.start <= best.start then best = turn end
        end
    end
    return best
end

local function dispatch(priority, turn)
    local lane, owner, batch = turn.lane.name, turn.owner, turn.batch
    local level = profile .. ':' .. priority
    local id = redis.call('ZRANGE', waiting_key(batch, lane, priority), 0, 0)[1]
        or redis.call('ZRANGE', waiting_key(batch, lane), 0, 0)[1]
    local job = id and load_job(id)
    local policy = redis.call('HMGET', batch_key(batch), 'weight', 'priority')
    if not policy[2] or not job then -- a key is missing: pass over it, and go on with the next turn
        ensure_batch(batch)
        if id and not job then drop_job(id, batch) end
        if not id then note_missing('waiting', batch .. ':' .. lane, batch) end
        unready(batch, lane, priority, owner)
        return reindex(batch)
    end
    local finish = turn.start + 1 / policy[1]
    local owner_finish = turn.owner_start + 1 / (redis.call('HGET', owner_key(owner), 'weight') or 1)
    redis.call('HSET', lane_key(profile), 'v' .. priority, turn.owner_start)
    redis.call('HSET', owner_key(owner), 'c:' .. level, turn.start, 'v:' .. level, owner_finish)
    if tonumber(policy[2]) == priority then redis.call('HSET', batch_key(batch), 'v:' .. profile, finish) end
    for _, other in ipairs(lanes) do -- what it used here it has used everywhere
        redis.call('ZADD', ready_key(other.name, priority), 'XX', owner_finish, owner)
        redis.call('ZADD', share_key(other.name, priority, owner), 'XX', finish, batch)
    end
    local spec = redis.call('GET', spec_key(id))
    if not spec then return end_without_spec(job) end
    job.priority = priority
    move(job, 'd', {'p', priority}, 'job.dispatched', 'priority', priority)
    turn.lane.sent = turn.lane.sent + 1
    chosen[#chosen + 1] = {id, job.generation, priority, spec, batch, lane}
end

for priority = 9, 0, -1 do
    for _, lane in ipairs(lanes) do lane.sent = lane.sent + tonumber(lane.counts[priority + 1] or 0) end
    while #chosen < most do
        local turn = next_turn(priority)
        if not turn then break end
        dispatch(priority, turn)
    end
end
return chosen
