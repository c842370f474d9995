-- flags: no-writes
-- Find the job of a batch that starts next, if any of it waits; changes nothing. ARGV: batch. Returns its id, or false.
local batch = ARGV[1]
local v = redis.call('HMGET', batch_key(batch), 'lanes', 'priority')
local found, urgency = false, -1
for lane in string.gmatch(v[1] or '', '[^,]+') do
    for _, key in ipairs(waiting_keys(batch, lane)) do
        local at = tonumber(string.match(string.sub(key, #waiting_key(batch, lane) + 1), '%d') or v[2])
        local id = at > urgency and redis.call('ZRANGE', key, 0, 0)[1]
        if id then found, urgency = id, at end
    end
end
return found
