-- flags: no-writes
-- Read workers; changes nothing. ARGV: their names.
-- Returns {name, lane, state, info, reason, milliseconds since it was seen, {ids under its leases},
-- '1' if its quarantine may be lifted by time, lanes that it serves by commas} for each.
local found = {}
for _, worker in ipairs(ARGV) do
    local v = redis.call('HMGET', worker_key(worker), 'lane', 'state', 'info', 'reason', 'seen', 'may_return',
        'lanes')
    if v[1] then
        found[#found + 1] = {
            worker, v[1], v[2], v[3], v[4] or '', math.max(0, now - v[5]), redis.call('SMEMBERS', held_key(worker)),
            v[6] or '', v[7] or v[1],
        }
    end
end
return found
