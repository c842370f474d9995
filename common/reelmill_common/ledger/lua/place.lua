-- flags: no-writes
-- Say where a job stands that waits or is dispatched; changes nothing. ARGV: batch, lane, priority at which it waits, id.
-- Returns {jobs of its batch that go first on its lane at that priority, milliseconds since it was dispatched or -1}.
local batch, lane, priority, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local sent = redis.call('ZSCORE', SENT, id)
local before = redis.call('ZRANK', waiting_key(batch, lane, priority), id)
if not before then -- it has no priority of its own: those that have this one go first
    before = redis.call('ZCARD', waiting_key(batch, lane, priority))
        + (redis.call('ZRANK', waiting_key(batch, lane), id) or 0)
end
return {before, sent and math.max(0, now - sent) or -1}
