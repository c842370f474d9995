-- Choose what the lanes of a profile run next and mark it dispatched: the most urgent priority, there the owner with the
-- least virtual time, of the owner's batches the one with the least, and of that the first job. Costs O(log n) for each
-- job, whatever waits, times the lanes of a class that have work.
-- ARGV: profile, depth, seconds within which a worker must have beaten, most jobs to choose.
-- Returns {id, generation, priority, spec, batch, lane} for each.
--
-- Which lane has room: a worker is sent `depth` jobs at most, and a job of a class goes only to workers of that class. So
-- the lane of a class may take one more job only while each of three sums is below its limit:
--   jobs sent on this lane                                      depth * workers of its class
--   jobs sent on all lanes with which it shares a worker        depth * workers of these lanes, each counted once
--   jobs sent on all lanes                                      depth * workers of the profile
-- The general lane has the last limit only, and there counts what is sent on lanes of classes up to their workers' capacity.
-- Example: depth 2; worker A has the classes h100 and fast, B has fast, C has none. `h100` may have 2 (A), `fast` 4 (A, B),
-- and both together 4, not 6, since they share A. All lanes may have 6: with 4 on `fast` and 2 on the general lane all is
-- full. If a worker D with `fast` is lost after it was sent 2 more, `fast` has 6: only 4 (A, B) count against the
-- general lane: the other 2 wait for A and B, and C must not idle because of them.
local profile, depth, most, live_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4]), ARGV[3] * 1000
local chosen = {}
local workers = redis.call('ZCOUNT', live_key(profile), '(' .. (now - live_ms), '+inf')
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
local lanes, classes, names = {general}, {}, {}
for _, name in ipairs(redis.call('SMEMBERS', classes_key(profile))) do
    local lane = look_at(name)
    if lane.busy then
        lanes[#lanes + 1], classes[#classes + 1], names[#names + 1] = lane, lane, name
    else
        redis.call('SREM', classes_key(profile), name)
    end
end

-- What may be sent to the workers of some lanes of classes, each worker counted once.
local class_capacity = 0
if #classes > 0 then
    local crew = crews_of(profile, live_ms)
    for _, lane in ipairs(classes) do
        local sharing = {}
        lane.sharing, lane.capacity = {}, depth * count_of(crew, {lane.name})
        for _, other in ipairs(classes) do
            if meet(crew, lane.name, other.name) then
                lane.sharing[#lane.sharing + 1], sharing[#sharing + 1] = other, other.name
            end
        end
        lane.shared_capacity = depth * count_of(crew, sharing)
    end
    class_capacity = depth * count_of(crew, names)
end

local function sent_of(some)
    local sum = 0
    for _, lane in ipairs(some) do sum = sum + lane.sent end
    return sum
end

local function has_room(lane)
    if #classes == 0 then return lane.sent < depth * workers end
    local all = sent_of(classes)
    -- What is sent beyond the capacity of a class takes none from the general lane: other workers must not idle.
    if lane == general then return lane.sent + math.min(all, class_capacity) < depth * workers end
    return lane.sent < lane.capacity and sent_of(lane.sharing) < lane.shared_capacity
        and general.sent + all < depth * workers
end

-- Return the choice with the least virtual time, of the owner and then of the batch, on the lanes that have room.
local next_choice
function next_choice(priority)
    local best
    for _, lane in ipairs(lanes) do
        local first = lane.levels[priority] and has_room(lane)
            and redis.call('ZRANGE', ready_key(lane.name, priority), 0, 0, 'WITHSCORES')
        if first and first[1] then
            local share = redis.call('ZRANGE', share_key(lane.name, priority, first[1]), 0, 0, 'WITHSCORES')
            if not share[1] then -- the owner's share is missing
                place_owner(first[1], lane.name, priority)
                return next_choice(priority)
            end
            local choice = {
                lane = lane, owner = first[1], owner_start = tonumber(first[2]), batch = share[1],
                start = tonumber(share[2]),
            }
            -- On a tie a class goes first: its jobs have fewer places to go to.
            if not best or choice.owner_start < best.owner_start
                or choice.owner_start == best.owner_start and choice.start <= best.start then best = choice end
        end
    end
    return best
end

local function dispatch(priority, choice)
    local lane, owner, batch = choice.lane.name, choice.owner, choice.batch
    local level = profile .. ':' .. priority
    local id = redis.call('ZRANGE', waiting_key(batch, lane, priority), 0, 0)[1]
        or redis.call('ZRANGE', waiting_key(batch, lane), 0, 0)[1]
    local job = id and load_job(id)
    local policy = redis.call('HMGET', batch_key(batch), 'weight', 'priority')
    if not policy[2] or not job then -- a key is missing: pass over it, and go on with the next choice
        ensure_batch(batch)
        if id and not job then drop_job(id, batch) end
        if not id then note_missing('waiting', batch .. ':' .. lane, batch) end
        leave_share(batch, lane, priority, owner)
        return reindex(batch)
    end
    local finish = choice.start + 1 / policy[1]
    local owner_finish = choice.owner_start + 1 / (redis.call('HGET', owner_key(owner), 'weight') or 1)
    redis.call('HSET', lane_key(profile), 'v' .. priority, choice.owner_start)
    redis.call('HSET', owner_key(owner), 'c:' .. level, choice.start, 'v:' .. level, owner_finish)
    if tonumber(policy[2]) == priority then redis.call('HSET', batch_key(batch), 'v:' .. profile, finish) end
    for _, other in ipairs(lanes) do -- what it used here it has used everywhere
        redis.call('ZADD', ready_key(other.name, priority), 'XX', owner_finish, owner)
        redis.call('ZADD', share_key(other.name, priority, owner), 'XX', finish, batch)
    end
    local spec = redis.call('GET', spec_key(id))
    if not spec then return end_without_spec(job) end
    job.priority = priority
    move(job, 'd', {'p', priority}, 'job.dispatched', 'priority', priority)
    choice.lane.sent = choice.lane.sent + 1
    chosen[#chosen + 1] = {id, job.generation, priority, spec, batch, lane}
end

for priority = 9, 0, -1 do
    for _, lane in ipairs(lanes) do lane.sent = lane.sent + tonumber(lane.counts[priority + 1] or 0) end
    while #chosen < most do
        local choice = next_choice(priority)
        if not choice then break end
        dispatch(priority, choice)
    end
end
return chosen
