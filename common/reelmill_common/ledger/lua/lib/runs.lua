-- Runs of schedules. A run is a submit that some worker has to do: its hash has all that it takes, and the sorted
-- set of runs has the time from which any worker may take it up, so that another one finishes it if its ticker died.

local function schedule_key(name) return P .. 'schedule:' .. name end
local function run_key(batch) return P .. 'run:' .. batch end
local function rows_key(rows) return P .. 'rows:' .. rows end

-- Begin a run unless one of the same batch is under way.
local function begin_run(name, batch)
    local v = redis.call('HMGET', schedule_key(name), 'policy', 'rows')
    if redis.call('ZADD', RUNS, 'NX', now, batch) == 0 then return end
    redis.call('HSET', run_key(batch), 'schedule', name, 'policy', v[1], 'rows', v[2])
    redis.call('HSET', schedule_key(name), 'last', now, 'last_batch', batch, 'error', '')
    emit('schedule.fired', batch, '', '', 'schedule', name)
end

-- Delete rows that neither their schedule nor any run of it needs.
local function drop_rows(rows, name)
    if redis.call('HGET', schedule_key(name), 'rows') == rows then return end
    for _, batch in ipairs(redis.call('ZRANGE', RUNS, 0, -1)) do
        if redis.call('HGET', run_key(batch), 'rows') == rows then return end
    end
    redis.call('UNLINK', rows_key(rows))
end
