-- Put some of a batch's held jobs back in line. ARGV: batch, most jobs to touch.
-- Returns {number touched, number still held}, or false if there is no such batch.
local batch, touched = ARGV[1], 0
local lanes = redis.call('HGET', batch_key(batch), 'lanes')
if not lanes then return false end
for lane in string.gmatch(lanes, '[^,]+') do
    local ids = redis.call('ZRANGE', hold_key(batch, lane), 0, math.max(0, ARGV[2] - touched))
    for _, id in ipairs(ids) do
        local job = load_or_drop(id, batch)
        if job then requeue(job, 'resumed') end
    end
    touched = touched + #ids
end
if touched == 0 then restore(batch) end -- a set may be missing
return {touched, tonumber(redis.call('HGET', batch_key(batch), 'h') or 0)}
