-- Note that a batch's report is made. ARGV: batch, milliseconds at which it had ended, key of the page.
-- Returns 1, or 0 if it went on meanwhile, and its report is due again.
local batch = ARGV[1]
local done = redis.call('HGET', batch_key(batch), 'done')
if done ~= ARGV[2] then return 0 end
redis.call('ZREM', P .. 'unreported', batch)
redis.call('HSET', batch_key(batch), 'report', ARGV[3])
emit('batch.reported', batch, '', '', 'key', ARGV[3])
return 1
