-- flags: allow-oom
-- Cancel some of what is not final in a batch. ARGV: batch, most jobs to touch of those in flight and of those that wait,
-- how far the calls before are with those in flight ('0' at first).
-- Returns {number touched, 1 if there may be more, how far this call is}, or false if there is no such batch. The caller
-- goes on while there is, so that a batch of any size never blocks the server for long.
local batch, most, touched = ARGV[1], tonumber(ARGV[2]), 0
local lanes = redis.call('HGET', batch_key(batch), 'lanes')
if not lanes then return false end
local flight = redis.call('SSCAN', flight_key(batch), ARGV[3], 'COUNT', most)
for _, id in ipairs(flight[2]) do
    local job = load_or_drop(id, batch)
    if job and job.state == 'd' then
        cancel(job)
        touched = touched + 1
    elseif job and job.state == 'r' then
        request_cancel(job)
        touched = touched + 1
    end
end
local flying = touched
for lane in string.gmatch(lanes, '[^,]+') do
    local keys = waiting_keys(batch, lane)
    keys[#keys + 1] = hold_key(batch, lane)
    for _, key in ipairs(keys) do
        local ids = redis.call('ZRANGE', key, 0, math.max(0, most - touched))
        for _, id in ipairs(ids) do
            local job = load_or_drop(id, batch)
            if job then cancel(job) end
        end
        touched = touched + #ids
    end
end
if touched == 0 and redis.call('HGET', batch_key(batch), 'done') == false then restore(batch) end -- a set is missing
local left = redis.call('HMGET', batch_key(batch), 'q', 'h')
local more = flight[1] ~= '0' or flying > 0 or left[1] + (left[2] or 0) > 0
return {touched, more and 1 or 0, flight[1]}
