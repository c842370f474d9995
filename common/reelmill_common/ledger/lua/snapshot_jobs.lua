-- flags: no-writes
-- Read a page of the jobs under a lease for a live view; changes nothing. ARGV: first, last (by end of the lease).
-- Returns {id, batch, row, lane, stage, worker, milliseconds since the claim, attempt, state} for each.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', LEASES, ARGV[1], ARGV[2])) do
    local v = redis.call('HMGET', job_key(id), 'b', 'r', 'l', 'x', 'w', 't1', 'a', 's')
    if LEASED[v[8] or ''] then
        found[#found + 1] = {
            id, v[1], v[2], v[3], v[4] or '', v[5] or '', math.max(0, now - (v[6] or now)), tonumber(v[7] or 0), v[8],
        }
    end
end
return found
