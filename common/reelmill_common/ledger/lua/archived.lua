-- flags: allow-oom
-- Note where a batch's archive is, if it has not gone on since it was written. ARGV: batch, milliseconds at which it had
-- ended, key. Returns 1, or 0 if it goes on or has ended anew.
local key = batch_key(ARGV[1])
if redis.call('HGET', key, 'done') ~= ARGV[2] then return 0 end
redis.call('HSET', key, 'archived', ARGV[2] .. ' ' .. ARGV[3])
emit('batch.archived', ARGV[1], '', '', 'key', ARGV[3])
return 1
