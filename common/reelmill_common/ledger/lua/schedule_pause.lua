-- flags: allow-oom
-- Pause a schedule, or let it go on: runs that were missed meanwhile are not made up for.
-- ARGV: name, milliseconds of its next run, or '' to pause. Returns 1, or 0 if there is no such schedule.
local name = ARGV[1]
if redis.call('EXISTS', schedule_key(name)) == 0 then return 0 end
if ARGV[2] == '' then
    redis.call('ZREM', SCHEDULES, name)
    redis.call('HSET', schedule_key(name), 'paused', 1)
    emit('schedule.paused', '', '', '', 'schedule', name)
else
    redis.call('ZADD', SCHEDULES, ARGV[2], name)
    redis.call('HSET', schedule_key(name), 'paused', 0)
    emit('schedule.resumed', '', '', '', 'schedule', name)
end
return 1
