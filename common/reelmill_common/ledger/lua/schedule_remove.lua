-- flags: allow-oom
-- Remove a schedule; a run that has begun is still finished. ARGV: name. Returns 1, or 0 if there is no such schedule.
local name = ARGV[1]
local rows = redis.call('HGET', schedule_key(name), 'rows')
if not rows then return 0 end
redis.call('ZREM', SCHEDULES, name)
redis.call('SREM', SCHEDULE_NAMES, name)
redis.call('DEL', schedule_key(name))
drop_rows(rows, name)
emit('schedule.removed', '', '', '', 'schedule', name)
return 1
