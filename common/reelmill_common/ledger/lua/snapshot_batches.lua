-- flags: no-writes
-- Read a page of batches for a live view; changes nothing. ARGV: first, last (by time of creation), then the letters of
-- the states to count. Returns {name, priority, owner, paused, shut, clips stored in the last hour, milliseconds since the
-- first claim or end in it, count of each state} for each.
local found = {}
local states = {unpack(ARGV, 3)}
for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches', ARGV[1], ARGV[2])) do
    local v = redis.call('HMGET', batch_key(batch), 'priority', 'owner', 'paused', 'shut', unpack(states))
    if v[1] then
        local stored, _, since = rates_of(rates_key(batch), BATCH_SPAN_MS)
        local row = {batch, v[1], v[2] or '', v[3] or '', v[4] or '', stored, since == '' and 0 or math.max(0, now - since)}
        for i = 1, #states do row[7 + i] = tonumber(v[4 + i] or 0) end
        found[#found + 1] = row
    end
end
return found
