-- Begin a schedule's run that is due, or pass over it: only by the ticker that finds the due time as it was.
-- ARGV: name, milliseconds that were due ('' if it is run by hand), milliseconds of the next run, batch of the
-- run or '' to pass over it. Returns 1, or 0 if another was first or there is no such schedule.
local name, batch = ARGV[1], ARGV[4]
if redis.call('EXISTS', schedule_key(name)) == 0 then return 0 end
if ARGV[2] ~= '' then
    local due = redis.call('ZSCORE', SCHEDULES, name)
    if not due or tonumber(due) ~= tonumber(ARGV[2]) then return 0 end
    redis.call('ZADD', SCHEDULES, ARGV[3], name)
end
if batch == '' then
    emit('schedule.missed', '', '', '', 'schedule', name, 'due', ARGV[2])
else
    begin_run(name, batch)
end
return 1
