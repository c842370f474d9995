-- What every function of the ledger begins with: the names of the keys, the clock, the events, and how a job is read.
--
-- States are single letters, so that a job's hash stays a listpack of short fields:
--   q queued   h held   d dispatched   r running   x cancel requested   s succeeded   f failed   c cancelled

local EVENTS_KEPT = 50000 -- about 4 MB
local WATCHED_KEPT, WATCHED_S = 10000, 120 -- events of a stream for watchers, and seconds that it outlives the last of them
local MISSING_KEPT, MISSING_S = 1000, 7 * 86400
local LEASED = {r = true, x = true}
local BREAK_MS = 15000 -- without a call: a farm's ticks call every few seconds at least

local P -- "reelmill:{farm}:", so that every key of a farm has one hash tag
local now -- milliseconds of Redis' clock, never of the caller's: hosts disagree
-- The keys that a farm has one of.
local SENT, LEASES, BEATS, WORKERS, OWNERS, STARTS, EXPIRIES, WINDOWS, PRIOR_ATTEMPTS, MISSING
-- Since when this process of the server has served farms without a break. A server that was started anew or promoted
-- begins anew: only then can it have forgotten what was answered.
local steady_since, last_call = 0, 0
local SCHEDULES, SCHEDULE_NAMES, RUNS, HOOKS, HOOK_LOG, HOOK_CURSOR, HOOK_SENDER

-- The library outlives the call, and a server may hold several farms: each call says first whose it is.
local function begin(prefix)
    local clock = redis.call('TIME')
    now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    if now < last_call or now - last_call > BREAK_MS then steady_since = now end
    last_call = now
    if prefix == P then return end
    P = prefix
    SENT, LEASES, BEATS, WORKERS = P .. 'sent', P .. 'leases', P .. 'beats', P .. 'workers'
    OWNERS, STARTS, EXPIRIES, WINDOWS = P .. 'owners', P .. 'starts', P .. 'expiries', P .. 'windows'
    PRIOR_ATTEMPTS = P .. 'worn' -- an older name; by pruned batch: the most attempts that a job of it had
    MISSING = P .. 'missing' -- by kind and name of a key that others point to: when it was first missed
    SCHEDULES, SCHEDULE_NAMES, RUNS = P .. 'schedules', P .. 'schedule_names', P .. 'runs'
    HOOKS, HOOK_LOG, HOOK_CURSOR, HOOK_SENDER = P .. 'hooks', P .. 'hook_log', P .. 'hook_cursor', P .. 'hook_sender'
end

local function job_key(id) return P .. 'job:' .. id end
local function spec_key(id) return P .. 'spec:' .. id end
local function meta_key(id) return P .. 'meta:' .. id end -- JSON of a row's metadata, if it has any
local function error_key(id) return P .. 'error:' .. id end
local function result_key(id) return P .. 'result:' .. id end
-- Of a clip that is taken back; the word is that of the claim that stored it, or '' where that is not known: any of them.
local function withdrawn_key(key, word) return P .. 'withdrawn:' .. key .. ':' .. word end
local function batch_key(batch) return P .. 'batch:' .. batch end
local function order_key(batch) return P .. 'order:' .. batch end
-- Jobs with a priority of their own wait in a set of that priority, `own`; the others in the batch's.
local function waiting_key(batch, lane, own)
    return P .. 'waiting:' .. batch .. ':' .. lane .. (own and ':' .. own or '')
end
local function hold_key(batch, lane) return P .. 'hold:' .. batch .. ':' .. lane end
local function flight_key(batch) return P .. 'flight:' .. batch end
local function retry_key(batch) return P .. 'retry:' .. batch end
local function lane_key(lane) return P .. 'lane:' .. lane end
-- A lane is a profile, for which any of its workers will do, or `profile@class` for jobs that ask for a class of worker.
local function profile_of(lane) return string.match(lane, '^[^@]+') end
local function classes_key(profile) return P .. 'classes:' .. profile end -- its lanes of a class that have work
local function ready_key(lane, priority) return P .. 'ready:' .. lane .. ':' .. priority end
local function share_key(lane, priority, owner) return P .. 'share:' .. lane .. ':' .. priority .. ':' .. owner end
local function levels_key(lane) return P .. 'levels:' .. lane end
local function live_key(lane) return P .. 'live:' .. lane end
local function worker_key(worker) return P .. 'worker:' .. worker end
local function owner_key(owner) return P .. 'owner:' .. owner end
-- Lanes and priorities at which an owner has batches that may run (the key has an older name).
local function owner_levels_key(owner) return P .. 'spots:' .. owner end
local function choices_key(batch) return P .. 'choices:' .. batch end
local function dependants_key(batch) return P .. 'dependants:' .. batch end
local function held_key(worker) return P .. 'held:' .. worker end
local function token_key(digest) return P .. 'token:' .. digest end
local function faults_key(id) return P .. 'faults:' .. id end
local function streak_key(worker) return P .. 'streak:' .. worker end

-- Who follows a batch reads a stream of its own, `events:BATCH`, which is written while `watched:BATCH` is there. It has the
-- batch's events under the ids that they have in the farm's stream, and the stages of its jobs, which that has not. `stages`
-- has those of all batches, while `watched` is there.
local function watched_key(batch) return batch == '' and P .. 'watched' or P .. 'watched:' .. batch end
local function watched_events_key(batch) return batch == '' and P .. 'stages' or P .. 'events:' .. batch end

local function append(stream, id, ...)
    redis.call('XADD', stream, 'MAXLEN', '~', WATCHED_KEPT, id, ...)
    if redis.call('XLEN', stream) == 1 then redis.call('EXPIRE', stream, WATCHED_S) end
end

-- Append to the event stream; more fields follow as name, value, name, value.
local function emit(name, batch, job, worker, ...)
    local id = redis.call('XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*',
        'e', name, 'b', batch, 'j', job, 'w', worker, ...)
    if batch ~= '' and redis.call('EXISTS', watched_key(batch)) == 1 then
        append(watched_events_key(batch), id, 'e', name, 'b', batch, 'j', job, 'w', worker, ...)
    end
end

-- Return the id that the farm's stream gave last.
local function last_event()
    local info = redis.pcall('XINFO', 'STREAM', P .. 'events')
    for i = 1, info.err and 0 or #info, 2 do
        if info[i] == 'last-generated-id' then return info[i + 1] end
    end
    return '0-0'
end

-- Tell of a job's stage, to those who watch only. It takes the next id of the farm's stream, so that ids of all streams can
-- be compared.
local function emit_stage(job, stage)
    local streams = {}
    for _, batch in ipairs({'', job.batch}) do
        if redis.call('EXISTS', watched_key(batch)) == 1 then streams[#streams + 1] = watched_events_key(batch) end
    end
    if #streams == 0 then return end
    local ms, number = string.match(last_event(), '^(%d+)-(%d+)$')
    ms, number = tonumber(ms), tonumber(number)
    local id = now > ms and string.format('%.0f-0', now) or string.format('%.0f-%.0f', ms, number + 1)
    for _, stream in ipairs(streams) do
        append(stream, id, 'b', job.batch, 'j', job.id, 'w', job.worker, 'e', 'job.staged', 'stage', stage)
    end
    redis.call('XSETID', P .. 'events', id)
end

-- Note that a key is missing which others point to (evicted, deleted by hand, or lost with a broken file): `doctor` shows
-- them. `kind` is how the key's name begins.
local function note_missing(kind, name, batch)
    if redis.call('HLEN', MISSING) < MISSING_KEPT and redis.call('HSETNX', MISSING, kind .. ' ' .. name, now) == 1 then
        redis.call('EXPIRE', MISSING, MISSING_S)
        emit('ledger.key_missing', batch or '', kind ~= 'batch' and name or '', '', 'kind', kind)
    end
end

local function load_job(id)
    local v = redis.call('HMGET', job_key(id), 's', 'b', 'l', 'n', 'g', 'p', 'a', 'k', 'w', 'x', 'o', 'z')
    if not v[1] then return nil end
    return {
        id = id, state = v[1], batch = v[2], lane = v[3], order = tonumber(v[4]), generation = tonumber(v[5]),
        priority = v[6], attempts = tonumber(v[7] or 0), failures = tonumber(v[8] or 0), worker = v[9] or '',
        stage = v[10] or '', own = v[11] or nil, fence = v[12] or '',
    }
end

-- The waiting sets of a batch in a lane. Its field `own` has the priorities that single jobs were given, one digit each.
local function waiting_keys(batch, lane)
    local keys = {waiting_key(batch, lane)}
    for own in string.gmatch(redis.call('HGET', batch_key(batch), 'own') or '', '%d') do
        keys[#keys + 1] = waiting_key(batch, lane, own)
    end
    return keys
end

-- The fencing token of a job's last claim: the number of the attempt, and a word that no other claim has. Numbers come
-- again when the ledger is wiped or forgets a claim; the word does not. A job that was claimed by an older version has none.
local function token_of(job) return job.attempts .. '.' .. job.fence end

-- Load a job only for the holder of its lease, else return nil. A lease that is over but not yet reaped still is its
-- holder's, for no other worker has the job.
local function load_leased(id, token)
    local job = load_job(id)
    if job and LEASED[job.state] and token_of(job) == token then return job end
    return nil
end

-- Return the key of the clip that a succeeded job has. The first versions wrote a result as an object (`views.result_json`).
local function clip_of(id)
    local result = redis.call('HGET', job_key(id), 's') == 's' and redis.call('GET', result_key(id))
    if not result then return nil end
    local kept = cjson.decode(result)
    return kept.key or kept[1]
end
