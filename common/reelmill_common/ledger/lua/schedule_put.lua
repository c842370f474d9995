-- Enter a schedule. ARGV: name, '1' if it may replace one, cron, zone, catch-up rule, policy, rows, number of jobs,
-- milliseconds of its next run. Returns 1, or 0 if there is one of that name, or -1 if the rows are gone.
local name, rows = ARGV[1], ARGV[7]
local before = redis.call('HGET', schedule_key(name), 'rows')
if before and ARGV[2] ~= '1' then return 0 end
if redis.call('PERSIST', rows_key(rows)) == 0 and before ~= rows then return -1 end
redis.call('SADD', SCHEDULE_NAMES, name)
redis.call('HSETNX', schedule_key(name), 'created', now)
redis.call('HSET', schedule_key(name), 'cron', ARGV[3], 'zone', ARGV[4], 'catch_up', ARGV[5], 'policy', ARGV[6],
    'rows', rows, 'jobs', ARGV[8], 'paused', 0)
redis.call('ZADD', SCHEDULES, ARGV[9], name)
if before and before ~= rows then drop_rows(before, name) end
emit('schedule.put', '', '', '', 'schedule', name)
return 1
