-- lib: move
-- Cancel some of what is not final in a batch. ARGV: batch, most jobs to touch.
-- Returns {number touched, number that still waits}, or false if there is no such batch. The caller goes on until
-- nothing waits, so that a batch of any size never blocks the server for long.
local batch, most, touched = ARGV[1], tonumber(ARGV[2]), 0
local lanes = redis.call('HGET', batch_key(batch), 'lanes')
if not lanes then return false end
for _, id in ipairs(redis.call('SMEMBERS', flight_key(batch))) do
    local job = load_job(id)
    if job.state == 'd' then
        cancel(job)
        touched = touched + 1
    elseif job.state == 'r' then
        request_cancel(job)
        touched = touched + 1
    end
end
for lane in string.gmatch(lanes, '[^,]+') do
    local ids = redis.call('ZRANGE', waiting_key(batch, lane), 0, math.max(0, most - touched))
    for _, id in ipairs(ids) do cancel(load_job(id)) end
    touched = touched + #ids
end
return {touched, tonumber(redis.call('HGET', batch_key(batch), 'q'))}
