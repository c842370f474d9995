-- flags: no-writes
-- Read what is due: windows that change, schedules that run, and runs that some worker has to submit or to finish.
-- Changes nothing, and costs three empty looks when nothing is due. ARGV: most of each.
-- Returns {milliseconds now, {batch, window, due, …}, {schedule, due, …}, {run, …}}.
local function some(key, ...)
    return redis.call('ZRANGEBYSCORE', P .. key, '-inf', now, ...)
end
local windows, batches = {}, some('windows', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #batches, 2 do
    windows[#windows + 1] = batches[i]
    windows[#windows + 1] = redis.call('HGET', batch_key(batches[i]), 'window') or ''
    windows[#windows + 1] = batches[i + 1]
end
return {now, windows, some('schedules', 'WITHSCORES', 'LIMIT', 0, ARGV[1]), some('runs', 'LIMIT', 0, ARGV[1])}
