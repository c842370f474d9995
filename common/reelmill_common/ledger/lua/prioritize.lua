-- Change a batch's priority. What was dispatched goes back in line, to be sent again with the new one.
-- ARGV: batch, priority. Returns 1, or 0 if there is no such batch.
local batch, priority = ARGV[1], ARGV[2]
local v = redis.call('HMGET', batch_key(batch), 'priority', 'lanes')
if not v[1] then return 0 end
if v[1] == priority then return 1 end
for lane in string.gmatch(v[2], '[^,]+') do
    leave_share(batch, lane, v[1])
    redis.call('HDEL', batch_key(batch), 'v:' .. profile_of(lane)) -- another priority has another virtual clock
end
redis.call('HSET', batch_key(batch), 'priority', priority)
take_back_sent(batch, 'prioritized')
reindex(batch)
emit('batch.prioritized', batch, '', '', 'priority', priority)
return 1
