-- flags: allow-oom
-- Stop a batch: what was dispatched goes back in line (its messages die at claim), what runs goes on.
-- ARGV: batch. Returns 1, or 0 if there is no such batch.
local batch = ARGV[1]
if redis.call('EXISTS', batch_key(batch)) == 0 then return 0 end
if redis.call('HGET', batch_key(batch), 'paused') == '1' then return 1 end
redis.call('HSET', batch_key(batch), 'paused', 1)
take_back_sent(batch, 'paused')
reindex(batch)
emit('batch.paused', batch, '', '')
return 1
