-- Open or close a batch whose window changed: by one ticker only, and only while the window is the one that it looked at.
-- ARGV: batch, window as written, milliseconds of the change that is due, '1' if it is closed now, milliseconds of the
-- next change or ''. Returns 1, or 0 if another ticker was first.
local batch, due = ARGV[1], redis.call('ZSCORE', WINDOWS, ARGV[1])
if not due or tonumber(due) ~= tonumber(ARGV[3]) then return 0 end
local window = redis.call('HGET', batch_key(batch), 'window')
if not window then
    redis.call('ZREM', WINDOWS, batch) -- the batch is gone
    return 0
end
if window ~= ARGV[2] then return 0 end
apply_window(batch, ARGV[4] == '1', ARGV[5])
return 1
