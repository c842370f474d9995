-- End a run: all of it is submitted, or it never can be. ARGV: batch, token of its taker, error or ''.
-- Returns 1, or 0 if another process has it now.
local batch = ARGV[1]
local v = redis.call('HMGET', run_key(batch), 'schedule', 'rows', 'taker')
if v[3] ~= ARGV[2] then return 0 end
redis.call('ZREM', RUNS, batch)
redis.call('DEL', run_key(batch))
if ARGV[3] ~= '' then
    if redis.call('EXISTS', schedule_key(v[1])) == 1 then redis.call('HSET', schedule_key(v[1]), 'error', ARGV[3]) end
    emit('schedule.failed', batch, '', '', 'schedule', v[1], 'message', ARGV[3])
end
drop_rows(v[2], v[1])
return 1
