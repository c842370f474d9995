-- Give a batch a window, or none. ARGV: batch, window as written or '', '1' if it is closed now, milliseconds of its next
-- change or ''. Returns 1, or 0 if there is no such batch.
local batch = ARGV[1]
if redis.call('EXISTS', batch_key(batch)) == 0 then return 0 end
redis.call('HSET', batch_key(batch), 'window', ARGV[2])
emit('batch.window_set', batch, '', '', 'window', ARGV[2])
apply_window(batch, ARGV[3] == '1', ARGV[4])
return 1
