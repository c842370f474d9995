-- flags: no-writes
-- Read what is left to do and who is there to do it, for a plan; changes nothing. Costs O(batches + jobs in flight).
-- Returns {milliseconds now, batches, workers}: of each batch that is not done {name, priority, weight, cap, paused,
-- shut, window, start or '', names of batches that it waits for by commas, jobs that are held, {lane, jobs left, …}},
-- oldest first; of each worker {lanes by commas, state, milliseconds since it was seen,
-- window}.
local batches, workers = {}, {}
for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches', 0, -1)) do
    local v = redis.call('HMGET', batch_key(batch), 'priority', 'weight', 'cap', 'paused', 'shut', 'window', 'start',
        'unmet', 'lanes', 'done', 'own', 'h')
    if v[1] and v[9] and not v[10] then
        local left, flat = {}, {}
        for lane in string.gmatch(v[9], '[^,]+') do
            left[lane] = redis.call('ZCARD', waiting_key(batch, lane))
            for own in string.gmatch(v[11] or '', '%d') do
                left[lane] = left[lane] + redis.call('ZCARD', waiting_key(batch, lane, own))
            end
        end
        for _, id in ipairs(redis.call('SMEMBERS', flight_key(batch))) do
            local lane = redis.call('HGET', job_key(id), 'l')
            if lane and left[lane] then left[lane] = left[lane] + 1 end
        end
        for lane in string.gmatch(v[9], '[^,]+') do
            flat[#flat + 1] = lane
            flat[#flat + 1] = left[lane]
        end
        batches[#batches + 1] = {
            batch, v[1], v[2], v[3], v[4], v[5] or '0', v[6] or '', v[7] or '', v[8] or '', v[12] or '0', flat,
        }
    end
end
for _, worker in ipairs(redis.call('SMEMBERS', WORKERS)) do
    local v = redis.call('HMGET', worker_key(worker), 'lane', 'state', 'seen', 'window', 'lanes')
    if v[1] then workers[#workers + 1] = {v[5] or v[1], v[2], math.max(0, now - v[3]), v[4] or ''} end
end
return {now, batches, workers}
