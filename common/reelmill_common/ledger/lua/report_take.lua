-- Take a batch that has ended and whose report is not made. The taker has the given time; then it is due again.
-- ARGV: seconds to have it for. Returns {batch, milliseconds at which it ended} or false.
local due = P .. 'unreported'
local batch = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 1)[1]
if not batch then return false end
local done = redis.call('HGET', batch_key(batch), 'done')
if not done then -- it goes on, or was pruned: its next end makes it due again
    redis.call('ZREM', due, batch)
    return {'', 0}
end
redis.call('ZADD', due, now + ARGV[1] * 1000, batch)
return {batch, tonumber(done)}
