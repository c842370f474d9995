-- flags: no-writes
-- Read a page of batches for a live view; changes nothing. ARGV: first, last (by time of creation), then the letters of
-- the states to count. Returns {name, priority, owner, paused, shut, count of each state} for each.
local found = {}
local states = {unpack(ARGV, 3)}
for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches', ARGV[1], ARGV[2])) do
    local v = redis.call('HMGET', batch_key(batch), 'priority', 'owner', 'paused', 'shut', unpack(states))
    if v[1] then
        local row = {batch, v[1], v[2] or '', v[3] or '', v[4] or ''}
        for i = 1, #states do row[5 + i] = tonumber(v[4 + i] or 0) end
        found[#found + 1] = row
    end
end
return found
