-- What is done where a key is missing that others point to, so that one such key stalls nothing but what it was about.

-- Count a batch's jobs anew by the sets in which they stand; what has succeeded stands in none. Costs O(jobs in flight
-- and to be retried).
local function recount(batch)
    local key, count = batch_key(batch), {q = 0, h = 0, d = 0, r = 0, x = 0, f = 0, c = 0}
    local v = redis.call('HMGET', key, 'lanes', 'done')
    for lane in string.gmatch(v[1] or '', '[^,]+') do
        for _, waiting in ipairs(waiting_keys(batch, lane)) do count.q = count.q + redis.call('ZCARD', waiting) end
        count.h = count.h + redis.call('ZCARD', hold_key(batch, lane))
    end
    for _, ids in ipairs({redis.call('SMEMBERS', flight_key(batch)), redis.call('ZRANGE', retry_key(batch), 0, -1)}) do
        for _, id in ipairs(ids) do
            local state = redis.call('HGET', job_key(id), 's')
            if state and count[state] then count[state] = count[state] + 1 end
        end
    end
    for state, number in pairs(count) do redis.call('HSET', key, state, number) end
    if not v[2] then end_if_done(batch) end
end

-- A job's hash is missing: take its id out of wherever it stands, so that its batch can go on and end without it.
function drop_job(id, batch)
    note_missing('job', id, batch)
    redis.call('ZREM', SENT, id)
    redis.call('ZREM', LEASES, id)
    if not batch then return end -- `mend` meets it in its batch's sets
    redis.call('SREM', flight_key(batch), id)
    redis.call('ZREM', retry_key(batch), id)
    redis.call('LREM', order_key(batch), 0, id)
    for lane in string.gmatch(redis.call('HGET', batch_key(batch), 'lanes') or '', '[^,]+') do
        for _, waiting in ipairs(waiting_keys(batch, lane)) do redis.call('ZREM', waiting, id) end
        redis.call('ZREM', hold_key(batch, lane), id)
    end
    if redis.call('HEXISTS', batch_key(batch), 'priority') == 1 then
        recount(batch)
        reindex(batch)
    end
end

-- Load a job that stands somewhere; nil, and it stands there no more, if its hash is missing.
local function load_or_drop(id, batch)
    local job = load_job(id)
    if not job then drop_job(id, batch) end
    return job
end

-- Put every job of a batch where its state says that it stands, and count them. Costs O(jobs): only for what is broken.
local function restore(batch)
    local key, count, lanes, owns = batch_key(batch), {q = 0, h = 0, d = 0, r = 0, x = 0, s = 0, f = 0, c = 0}, {}, {}
    local ids = redis.call('LRANGE', order_key(batch), 0, -1)
    for _, id in ipairs(ids) do
        local job = load_job(id)
        if job then
            count[job.state] = count[job.state] + 1
            lanes[job.lane] = true
            if job.own then owns[job.own] = true end
            if job.state == 'q' then
                redis.call('ZADD', waiting_key(batch, job.lane, job.own), job.order, id)
            elseif job.state == 'h' then
                redis.call('ZADD', hold_key(batch, job.lane), job.order, id)
            elseif RETRY[job.state] then
                redis.call('ZADD', retry_key(batch), job.order, id)
            elseif IN_FLIGHT[job.state] then
                redis.call('SADD', flight_key(batch), id)
            end
        end
    end
    local names, own = {}, ''
    for lane in pairs(lanes) do names[#names + 1] = lane end
    for digit in pairs(owns) do own = own .. digit end
    table.sort(names)
    redis.call('HSET', key, 'lanes', table.concat(names, ','), 'own', own, 'n', #ids)
    for state, number in pairs(count) do redis.call('HSET', key, state, number) end
end

-- A batch's hash is missing, and its policy with it: make one of its jobs, paused until a person has looked.
function ensure_batch(batch)
    local key = batch_key(batch)
    if redis.call('HEXISTS', key, 'priority') == 1 then return end
    note_missing('batch', batch, batch)
    redis.call('HSET', key, 'created', now, 'priority', 5, 'weight', 1, 'cap', 0, 'owner', '', 'paused', 1,
        'why_paused', 'its record was missing and is made anew: set its policy again, then resume it')
    redis.call('ZADD', P .. 'batches', 'NX', now, batch)
    redis.call('SADD', OWNERS, '')
    restore(batch)
end

-- A job's spec is missing: it cannot be rendered until its file is submitted again and it is retried.
local function end_without_spec(job)
    local message = 'the ledger has lost what it should show: submit its file again, then retry it'
    note_missing('spec', job.id, job.batch)
    redis.call('SET', error_key(job.id), cjson.encode({code = 'spec_missing', message = message}))
    move(job, 'f', {}, 'job.failed', 'code', 'spec_missing', 'message', message)
end
