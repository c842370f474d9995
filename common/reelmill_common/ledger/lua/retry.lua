-- lib: move
-- Queue some of a batch's failed and cancelled jobs again, with failures counted from zero.
-- ARGV: batch, most jobs to touch. Returns {number touched, number left}, or false if there is no such batch.
local batch = ARGV[1]
if redis.call('EXISTS', batch_key(batch)) == 0 then return false end
local ids = redis.call('ZRANGE', retry_key(batch), 0, ARGV[2] - 1)
for _, id in ipairs(ids) do
    redis.call('HSET', job_key(id), 'k', 0)
    requeue(load_job(id), 'retried')
end
return {#ids, redis.call('ZCARD', retry_key(batch))}
