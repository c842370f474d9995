-- How a job that has ended is forgotten: all its keys, and what counts and lists it. Its place in the order of its batch is
-- the caller's. Its clip stays where it is, so the batch remembers the number of its last attempt: a row that is submitted
-- again goes on from there.

local function forget_job(batch, id)
    local v = redis.call('HMGET', job_key(id), 's', 'a')
    if v[1] then redis.call('HINCRBY', batch_key(batch), v[1], -1) end
    redis.call('ZREM', retry_key(batch), id)
    redis.call('HDEL', choices_key(batch), id)
    local made, mark = made_place(id)
    if redis.call('HGET', made, mark) == id then redis.call('HDEL', made, mark) end
    redis.call('UNLINK', job_key(id), spec_key(id), meta_key(id), error_key(id), result_key(id), faults_key(id))
    local prior = math.max(tonumber(redis.call('HGET', PRIOR_ATTEMPTS, batch) or 0), tonumber(v[2] or 0))
    if prior > 0 then redis.call('HSET', PRIOR_ATTEMPTS, batch, prior) end
end
