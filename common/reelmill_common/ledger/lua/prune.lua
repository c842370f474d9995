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
for _, id in ipairs(redis.call('RPOP', order_key(batch), ARGV[3]) or {}) do
    forget_job(batch, id)
end
local left = redis.call('LLEN', order_key(batch))
if left > 0 then return left end
for name in string.gmatch(v[2] or '', '[^,]+') do redis.call('SREM', dependants_key(name), batch) end
redis.call('UNLINK', key, retry_key(batch), rates_key(batch), watched_key(batch), watched_events_key(batch))
redis.call('ZREM', P .. 'recalls', batch)
for _, index in ipairs({'batches', 'starts', 'expiries', 'windows', 'unreported'}) do
    redis.call('ZREM', P .. index, batch)
end
emit('batch.pruned', batch, '', '')
return 0
