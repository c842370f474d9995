-- flags: no-writes
-- Count what stands before a waiting job; changes nothing. Costs O(batches that are ready at
-- its priority and above), whatever waits: 7 ms of the server's time for 1,000 (Valkey 9.1, two busy cores).
-- ARGV: batch, lane, priority at which it waits, id. Returns {jobs before it in its own line, other batches of
-- its priority that take turns with it, milliseconds since the job was dispatched or -1, then a priority and how many
-- jobs wait there, for each above}.
local batch, lane, priority, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local function waiting_at(name, at)
    local own = redis.call('HMGET', batch_key(name), 'priority')
    local count = redis.call('ZCARD', waiting_key(name, lane, at))
    if tonumber(own[1] or -1) == at then count = count + redis.call('ZCARD', waiting_key(name, lane)) end
    return count
end

local function batches_at(at)
    local names = {}
    for _, owner in ipairs(redis.call('ZRANGE', ready_key(lane, at), 0, -1)) do
        for _, name in ipairs(redis.call('ZRANGE', share_key(lane, at, owner), 0, -1)) do names[#names + 1] = name end
    end
    return names
end

local above = {}
for at = 9, priority + 1, -1 do
    local count = 0
    for _, name in ipairs(batches_at(at)) do count = count + waiting_at(name, at) end
    if count > 0 then
        above[#above + 1] = at
        above[#above + 1] = count
    end
end
local sharing = 0
for _, name in ipairs(batches_at(priority)) do
    if name ~= batch then sharing = sharing + 1 end
end
local before = redis.call('ZRANK', waiting_key(batch, lane, priority), id)
if not before then -- it has no priority of its own: those that have this one go first
    before = redis.call('ZCARD', waiting_key(batch, lane, priority))
        + (redis.call('ZRANK', waiting_key(batch, lane), id) or 0)
end
local sent = redis.call('ZSCORE', SENT, id)
return {before, sharing, sent and math.max(0, now - sent) or -1, above}
