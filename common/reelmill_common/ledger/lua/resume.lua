-- Undo pause, also one that the batch made itself: its failures are counted anew. Jobs that are held stay held.
-- ARGV: batch. Returns 1, or 0 if there is no such batch.
local batch = ARGV[1]
local paused = redis.call('HGET', batch_key(batch), 'paused')
if not paused then return 0 end
if paused == '0' then return 1 end
redis.call('HSET', batch_key(batch), 'paused', 0)
redis.call('HDEL', batch_key(batch), 'why_paused', 'spent')
reindex(batch)
emit('batch.resumed', batch, '', '')
return 1
