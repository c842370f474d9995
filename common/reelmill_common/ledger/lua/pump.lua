-- lib: move
-- Choose what a lane runs next and mark it dispatched: the most urgent priority, there the owner whose turn it is, of
-- the owner's batches the one whose turn it is, and of that the first job. Costs O(log n) for each job, whatever waits.
-- ARGV: lane, depth, seconds within which a worker must have beaten, most jobs to choose.
-- Returns {id, generation, priority, spec} for each.
local lane, most = ARGV[1], tonumber(ARGV[4])
local workers = redis.call('ZCOUNT', live_key(lane), '(' .. (now - ARGV[3] * 1000), '+inf')
local room = ARGV[2] * workers
local chosen = {}
if room == 0 then return chosen end

local function dispatch(priority, owner, owner_start)
    local level, share = lane .. ':' .. priority, share_key(lane, priority, owner)
    local first = redis.call('ZRANGE', share, 0, 0, 'WITHSCORES')
    local batch, start = first[1], tonumber(first[2])
    local id = redis.call('ZRANGE', waiting_key(batch, lane, priority), 0, 0)[1]
        or redis.call('ZRANGE', waiting_key(batch, lane), 0, 0)[1]
    local policy = redis.call('HMGET', batch_key(batch), 'weight', 'priority')
    local finish = start + 1 / policy[1]
    local owner_finish = owner_start + 1 / (redis.call('HGET', owner_key(owner), 'weight') or 1)
    redis.call('HSET', lane_key(lane), 'v' .. priority, owner_start)
    redis.call('HSET', owner_key(owner), 'c:' .. level, start, 'v:' .. level, owner_finish)
    if tonumber(policy[2]) == priority then redis.call('HSET', batch_key(batch), 'v:' .. lane, finish) end
    redis.call('ZADD', ready_key(lane, priority), owner_finish, owner)
    redis.call('ZADD', share, finish, batch)
    local job = load_job(id)
    job.priority = priority
    move(job, 'd', {'p', priority}, 'job.dispatched', 'priority', priority)
    chosen[#chosen + 1] = {id, job.generation, priority, redis.call('GET', spec_key(id))}
end

local levels = {} -- the priorities at which any owner is ready
for _, priority in ipairs(redis.call('SMEMBERS', levels_key(lane))) do levels[tonumber(priority)] = true end
local counts = redis.call('HMGET', lane_key(lane), 'd0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7', 'd8', 'd9')
local sent = 0 -- at this priority and above: less urgent ones must not block an urgent one
for priority = 9, 0, -1 do
    sent = sent + tonumber(counts[priority + 1] or 0)
    while levels[priority] and sent < room and #chosen < most do
        local first = redis.call('ZRANGE', ready_key(lane, priority), 0, 0, 'WITHSCORES')
        if not first[1] then break end
        dispatch(priority, first[1], tonumber(first[2]))
        sent = sent + 1
    end
end
return chosen
