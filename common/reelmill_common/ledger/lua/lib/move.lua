-- The one way in which a job changes its state. Where a job stands follows from its state, and only `move` changes
-- either:
--   q      waiting:BATCH:LANE, or waiting:BATCH:LANE:PRIORITY if it has a priority of its own
--   h      hold:BATCH:LANE
--   d      sent; counted in lane:LANE, field d0 to d9, by the priority that it was sent with
--   r, x   leases, held:WORKER
--   d,r,x  flight:BATCH; counted in owner:OWNER, field n
--   f, c   retry:BATCH
--   any    counted in batch:BATCH, in the field of its state's letter
--
-- Where a batch stands follows from its hash and its jobs, and `reindex` puts it there:
--   has waiting jobs and may run (not paused, window not closed, not early, unmet empty, below its cap, not expired)
--                                share:LANE:PRIORITY:OWNER, for each lane and priority at which it has such jobs
--   start in the future          starts           expires              expiries
--   has a window that changes    windows          waits for another    dependants:OTHER
--   has ended, without a report  unreported       always               batches, and its owner in owners
-- Where an owner stands follows from its shares, and `place_owner` puts it there:
--   below its cap, with a share  ready:LANE:PRIORITY; the priority then is in levels:LANE, a lane of a class in
--                                classes:PROFILE
--   with a share, at its cap too spots:OWNER has LANE:PRIORITY, so that `replace_owner` finds it everywhere

local IN_FLIGHT = {d = true, r = true, x = true}
local FINAL = {s = true, f = true, c = true}
local RETRY = {f = true, c = true}
local RECALL_MOST = 30 -- jobs looked at in one step: about 1 ms of the server's time

-- Put an owner into the ready index of a lane and priority, or take it out; with the last one the level goes.
-- Who comes in starts at the level's current virtual time: an idle past is neither credit nor debt. That time is one
-- for all lanes of a profile, whose workers they share.
local has_placed = false -- whether this call has let an owner come in; who asks sets it to false first
local function place_owner(owner, lane, priority)
    local profile = profile_of(lane)
    local ready, level = ready_key(lane, priority), profile .. ':' .. priority
    local v = redis.call('HMGET', owner_key(owner), 'cap', 'n', 'v:' .. level)
    local cap = tonumber(v[1] or 0)
    local fit = (cap == 0 or tonumber(v[2] or 0) < cap) and redis.call('EXISTS', share_key(lane, priority, owner)) == 1
    local inside = redis.call('ZSCORE', ready, owner)
    if fit and not inside then
        has_placed = true
        local current = redis.call('HGET', lane_key(profile), 'v' .. priority)
        redis.call('ZADD', ready, math.max(tonumber(v[3] or 0), tonumber(current or 0)), owner)
        redis.call('SADD', levels_key(lane), priority)
        if lane ~= profile then redis.call('SADD', classes_key(profile), lane) end
    elseif inside and not fit then
        redis.call('ZREM', ready, owner)
        if redis.call('EXISTS', ready) == 0 then redis.call('SREM', levels_key(lane), priority) end
    end
end

-- Do the same wherever the owner has batches that may run: its cap was reached, left or changed.
local function replace_owner(owner)
    for _, level in ipairs(redis.call('SMEMBERS', owner_levels_key(owner))) do
        local lane, priority = string.match(level, '^(.*):(%d)$')
        place_owner(owner, lane, priority)
    end
end

-- Take a batch out of its owner's share of a lane.
local function leave_share(batch, lane, priority, owner)
    owner = owner or redis.call('HGET', batch_key(batch), 'owner')
    local share = share_key(lane, priority, owner)
    redis.call('ZREM', share, batch)
    if redis.call('EXISTS', share) == 0 then
        redis.call('SREM', owner_levels_key(owner), lane .. ':' .. priority)
        place_owner(owner, lane, priority)
    end
end

-- Put a batch into its owner's share of a lane and priority, or take it out. Its virtual time is that of its owner's
-- share, and starts there like an owner's does; what it had used is remembered at the batch's priority only (`home`).
local function place_batch(batch, lane, priority, owner, fit, home)
    local share = share_key(lane, priority, owner)
    local inside = redis.call('ZSCORE', share, batch)
    if fit and not inside then
        local profile = profile_of(lane)
        local used = home and redis.call('HGET', batch_key(batch), 'v:' .. profile)
        local current = redis.call('HGET', owner_key(owner), 'c:' .. profile .. ':' .. priority)
        redis.call('ZADD', share, math.max(tonumber(used or 0), tonumber(current or 0)), batch)
        redis.call('SADD', owner_levels_key(owner), lane .. ':' .. priority)
        place_owner(owner, lane, priority)
    elseif inside and not fit then
        leave_share(batch, lane, priority)
    end
end

-- Do the same wherever the batch has jobs, so that pump never looks at one that may not run.
local function reindex(batch)
    local paused, cap, dispatched, running, cancelling, priority, lanes, closed, owner, early, unmet, expires, waiting,
        own_priorities = unpack(redis.call('HMGET', batch_key(batch), 'paused', 'cap', 'd', 'r', 'x', 'priority',
        'lanes', 'shut', 'owner', 'early', 'unmet', 'expires', 'q', 'own'))
    if not priority then return end -- its hash is missing
    cap, expires = tonumber(cap), tonumber(expires or nil)
    local may_run = paused ~= '1' and closed ~= '1' and early ~= '1' and (unmet or '') == ''
        and (cap == 0 or dispatched + running + cancelling < cap)
    if expires and expires <= now then
        may_run = false
        if waiting ~= '0' then redis.call('ZADD', EXPIRIES, expires, batch) end -- sweep ends what came back in line
    end
    for lane in string.gmatch(lanes, '[^,]+') do
        local waits = {[priority] = redis.call('EXISTS', waiting_key(batch, lane)) == 1}
        for own in string.gmatch(own_priorities or '', '%d') do -- single jobs have a priority of their own
            waits[own] = waits[own] or redis.call('EXISTS', waiting_key(batch, lane, own)) == 1
        end
        for at, any in pairs(waits) do place_batch(batch, lane, at, owner, may_run and any, at == priority) end
    end
end

-- Count what an owner has in flight, over all its batches and lanes. `by` is 1 or -1.
local function count_flight(batch, by)
    local owner = redis.call('HGET', batch_key(batch), 'owner')
    local flying = redis.call('HINCRBY', owner_key(owner), 'n', by)
    local cap = tonumber(redis.call('HGET', owner_key(owner), 'cap') or 0)
    if cap > 0 and (flying == cap or flying == cap - 1) then replace_owner(owner) end
end

-- See which of the batches that a batch waits for have ended, and let it run if all have as it wants them to.
-- `unmet`: those that it still waits for. `stuck`: of those, the ones that ended otherwise.
local function settle_after(batch)
    local key, unmet, stuck = batch_key(batch), {}, {}
    local v = redis.call('HMGET', key, 'unmet', 'after_any', 'stuck')
    for name in string.gmatch(v[1] or '', '[^,]+') do
        local e = redis.call('HMGET', batch_key(name), 'done', 'f', 'c')
        local any = string.find(',' .. (v[2] or '') .. ',', ',' .. name .. ',', 1, true)
        if e[1] and (any or e[2] + e[3] == 0) then
            redis.call('SREM', dependants_key(name), batch)
        else
            unmet[#unmet + 1] = name
            if e[1] then stuck[#stuck + 1] = name end
        end
    end
    local why = table.concat(stuck, ',')
    redis.call('HSET', key, 'unmet', table.concat(unmet, ','), 'stuck', why)
    if #unmet == 0 and v[1] ~= '' then
        emit('batch.released', batch, '', '')
    elseif why ~= '' and why ~= v[3] then
        emit('batch.stuck', batch, '', '', 'after', why)
    end
    reindex(batch)
end

-- A batch ended, or goes on: batches that wait for it are looked at again.
local function settle_dependants(batch)
    for _, dependant in ipairs(redis.call('SMEMBERS', dependants_key(batch))) do settle_after(dependant) end
end

local function leave(job)
    local state = job.state
    if state == 'q' then
        redis.call('ZREM', waiting_key(job.batch, job.lane, job.own), job.id)
    elseif state == 'h' then
        redis.call('ZREM', hold_key(job.batch, job.lane), job.id)
    elseif state == 'd' then
        redis.call('ZREM', SENT, job.id)
        redis.call('HINCRBY', lane_key(job.lane), 'd' .. job.priority, -1)
    elseif LEASED[state] then
        redis.call('ZREM', LEASES, job.id)
        redis.call('SREM', held_key(job.worker), job.id)
    elseif RETRY[state] then
        redis.call('ZREM', retry_key(job.batch), job.id)
    end
end

local function enter(job, state)
    if state == 'q' then
        -- At its old place: before whatever of the batch was never sent.
        redis.call('ZADD', waiting_key(job.batch, job.lane, job.own), job.order, job.id)
    elseif state == 'h' then
        redis.call('ZADD', hold_key(job.batch, job.lane), job.order, job.id)
    elseif state == 'd' then
        redis.call('ZADD', SENT, now, job.id)
        redis.call('HINCRBY', lane_key(job.lane), 'd' .. job.priority, 1)
    elseif LEASED[state] then
        redis.call('ZADD', LEASES, job.lease, job.id)
        redis.call('SADD', held_key(job.worker), job.id)
    elseif RETRY[state] then
        redis.call('ZADD', retry_key(job.batch), job.order, job.id)
    end
end

local function push(list, name, value)
    list[#list + 1] = name
    list[#list + 1] = value
end

local take_back_sent, ensure_batch, drop_job

-- Count a job that failed against what its batch may lose; once that is used up the batch pauses itself.
local function spend(batch)
    local key = batch_key(batch)
    local spent = redis.call('HINCRBY', key, 'spent', 1)
    local v = redis.call('HMGET', key, 'max_failures', 'n', 'paused')
    if (v[1] or '') == '' or v[3] == '1' then return end
    local percent = string.match(v[1], '^(.+)%%$')
    local most = percent and math.max(1, math.ceil(v[2] * percent / 100)) or tonumber(v[1])
    if spent < most then return end
    local why = spent .. ' failed, and max_failures is ' .. v[1]
    redis.call('HSET', key, 'paused', 1, 'why_paused', why)
    take_back_sent(batch, 'paused')
    reindex(batch)
    emit('batch.paused', batch, '', '', 'reason', why)
end

-- If nothing of a batch is left to do it has ended; its report is due, and batches that wait for it are looked at again.
local function end_if_done(batch)
    local left = redis.call('HMGET', batch_key(batch), 'q', 'd', 'r', 'x', 'h')
    if left[1] + left[2] + left[3] + left[4] + (left[5] or 0) > 0 then return false end
    redis.call('HSET', batch_key(batch), 'done', now)
    emit('batch.finished', batch, '', '')
    redis.call('ZADD', P .. 'unreported', now, batch)
    settle_dependants(batch)
    return true
end

-- Move a job to another state, with all that depends on it, and emit an event.
-- `fields`: more of its hash, as a list of name, value. The event's own fields follow `event`.
local function move(job, state, fields, event, ...)
    local from, batch = job.state, batch_key(job.batch)
    ensure_batch(job.batch)
    local hash = {'HSET', job_key(job.id), 's', state, unpack(fields)}
    if not (LEASED[from] and LEASED[state]) then
        leave(job)
        enter(job, state)
        push(hash, 'x', '')
    end
    job.state = state
    if state == 'q' or state == 'c' or state == 'h' then
        job.generation = job.generation + 1 -- a message that is under way dies at claim
        push(hash, 'g', job.generation)
    end
    if FINAL[state] then push(hash, 't2', now) end
    redis.call(unpack(hash))
    redis.call('HINCRBY', batch, from, -1)
    redis.call('HINCRBY', batch, state, 1)
    if IN_FLIGHT[state] and not IN_FLIGHT[from] then
        redis.call('SADD', flight_key(job.batch), job.id)
        count_flight(job.batch, 1)
    elseif IN_FLIGHT[from] and not IN_FLIGHT[state] then
        redis.call('SREM', flight_key(job.batch), job.id)
        count_flight(job.batch, -1)
    end
    if not (IN_FLIGHT[from] and IN_FLIGHT[state]) then reindex(job.batch) end
    emit(event, job.batch, job.id, (LEASED[from] or LEASED[state]) and job.worker or '', ...)
    if state == 'r' or state == 'f' then note_rate(job.batch, state == 'f' and 'f' or '') end
    if state == 's' and LEASED[from] then note_rate(job.batch, 'n') end -- not one that is answered with another's clip
    if FINAL[state] then
        if not end_if_done(job.batch) and state == 'f' and LEASED[from] then spend(job.batch) end
    elseif FINAL[from] then
        redis.call('HDEL', job_key(job.id), 't2')
        if redis.call('HDEL', batch, 'done') == 1 then settle_dependants(job.batch) end
    end
end

-- Put a job back in line; `reason` goes to the event.
local function requeue(job, reason) move(job, 'q', {}, 'job.requeued', 'reason', reason) end

-- Put back in line some of what a batch had dispatched when that was ordered; return whether all of it was looked at.
-- What the order holds for is found in steps, since a batch may have thousands of jobs dispatched: `recall` (milliseconds
-- of the order), `recall_why`, and `recall_at`, which is how far the steps are. Claim refuses what they have not met yet.
local function recall_some(batch)
    local key, at, why, cursor = batch_key(batch), unpack(redis.call('HMGET', batch_key(batch), 'recall', 'recall_why',
        'recall_at'))
    if at then
        local found = redis.call('SSCAN', flight_key(batch), cursor or '0', 'COUNT', RECALL_MOST)
        for _, id in ipairs(found[2]) do
            local job = load_job(id)
            if not job then
                drop_job(id, batch)
            elseif job.state == 'd' and tonumber(redis.call('ZSCORE', SENT, id) or 0) <= tonumber(at) then
                requeue(job, why)
            end
        end
        if found[1] ~= '0' then
            redis.call('HSET', key, 'recall_at', found[1])
            return false
        end
        redis.call('HDEL', key, 'recall', 'recall_why', 'recall_at')
    end
    redis.call('ZREM', P .. 'recalls', batch)
    return true
end

-- Put back in line what a batch has dispatched: its messages are stale from now on. Does the first step; who called, or
-- the next tick, goes on with `recall`.
function take_back_sent(batch, reason)
    redis.call('HDEL', batch_key(batch), 'recall_at')
    redis.call('HSET', batch_key(batch), 'recall', now, 'recall_why', reason)
    redis.call('ZADD', P .. 'recalls', now, batch)
    recall_some(batch)
end

local function cancel(job) move(job, 'c', {}, 'job.cancelled') end

-- Ask the worker to stop: it hears so when it next reports, and says when it has.
local function request_cancel(job) move(job, 'x', {}, 'job.cancel_requested') end

-- Queue a failed or cancelled job again, as if it had never failed.
local function retry(job)
    redis.call('HSET', job_key(job.id), 'k', 0)
    redis.call('DEL', faults_key(job.id))
    requeue(job, 'retried')
end
