-- Do some of what is due by the policy of batches: let those run whose start has come, and end what was not started
-- before it expired. Costs two empty looks when nothing is due. ARGV: most to touch. Returns how much was touched.
local most, touched = tonumber(ARGV[1]), 0

local function end_waiting(batch, key, expires)
    local ids = redis.call('ZRANGE', key, 0, most - touched - 1)
    local seconds = math.floor((now - expires) / 1000)
    for _, id in ipairs(ids) do
        local job = load_or_drop(id, batch)
        local message = 'had not started when it expired, ' .. seconds .. ' s ago'
        if job then
            redis.call('SET', error_key(id), cjson.encode({code = 'expired', message = message}))
            move(job, 'f', {}, 'job.failed', 'code', 'expired', 'message', message)
        end
    end
    touched = touched + #ids
end

for _, batch in ipairs(redis.call('ZRANGEBYSCORE', STARTS, '-inf', now, 'LIMIT', 0, most)) do
    redis.call('ZREM', STARTS, batch)
    touched = touched + 1
    if redis.call('HDEL', batch_key(batch), 'early') == 1 then
        reindex(batch)
        emit('batch.start_came', batch, '', '')
    end
end

local due = redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #due, 2 do
    local batch, expires = due[i], tonumber(due[i + 1])
    if touched < most then
        local lanes = redis.call('HGET', batch_key(batch), 'lanes')
        if lanes then
            if redis.call('HEXISTS', batch_key(batch), 'recall') == 0 then take_back_sent(batch, 'expired') end
            for lane in string.gmatch(lanes, '[^,]+') do
                local keys = waiting_keys(batch, lane)
                keys[#keys + 1] = hold_key(batch, lane)
                for _, key in ipairs(keys) do
                    if touched < most then end_waiting(batch, key, expires) end
                end
            end
        end
        local left = redis.call('HMGET', batch_key(batch), 'q', 'h')
        if not lanes or left[1] + (left[2] or 0) == 0 then
            redis.call('ZREM', EXPIRIES, batch)
            touched = touched + 1
            if lanes then emit('batch.expired', batch, '', '') end
        end
    end
end
return touched
