-- flags: allow-oom
-- Delete some of the jobs of a batch that has ended, newest first, and with the last of them the batch. After each call
-- the ledger is whole: the batch has fewer jobs, and its counters say so. A batch that goes on meanwhile is left alone.
-- ARGV: batch, milliseconds at which it had ended, most jobs to delete.
-- Returns the number of jobs left, -1 if it goes on or has ended anew, or -2 if other batches wait for it.
local batch = ARGV[1]
local key = batch_key(batch)
local v = redis.call('HMGET', key, 'done', 'unmet')
if v[1] ~= ARGV[2] then return -1 end
if redis.call('EXISTS', dependants_key(batch)) == 1 then return -2 end
local prior = tonumber(redis.call('HGET', PRIOR_ATTEMPTS, batch) or 0)
for _, id in ipairs(redis.call('RPOP', order_key(batch), ARGV[3]) or {}) do
    prior = math.max(prior, tonumber(redis.call('HGET', job_key(id), 'a') or 0))
    local state = redis.call('HGET', job_key(id), 's')
    if state then redis.call('HINCRBY', key, state, -1) end
    redis.call('ZREM', retry_key(batch), id)
    redis.call('HDEL', choices_key(batch), id)
    local made, mark = made_place(id)
    if redis.call('HGET', made, mark) == id then redis.call('HDEL', made, mark) end
    redis.call('UNLINK', job_key(id), spec_key(id), meta_key(id), error_key(id), result_key(id), faults_key(id))
end
if prior > 0 then redis.call('HSET', PRIOR_ATTEMPTS, batch, prior) end
local left = redis.call('LLEN', order_key(batch))
if left > 0 then return left end
for name in string.gmatch(v[2] or '', '[^,]+') do redis.call('SREM', dependants_key(name), batch) end
redis.call('UNLINK', key, retry_key(batch))
for _, index in ipairs({'batches', 'starts', 'expiries', 'windows', 'unreported'}) do
    redis.call('ZREM', P .. index, batch)
end
emit('batch.pruned', batch, '', '')
return 0
