-- flags: no-writes
-- Count what waits, runs and has ended in a page of the batches; changes nothing. Costs O(batches), and O(jobs in flight)
-- of those that have several lanes or priorities. ARGV: first, last (by time of creation).
-- A job with a priority of its own counts there. Returns three lists, which `stats.py` reads in this order:
--   rows: one for each lane, priority and kind of batch that has any job left; its columns are those of `COLUMN`
--   jobs that have ended: {succeeded, failed, cancelled}
--   batches: {active, paused, done, scheduled}
local ACTIVE, PAUSED, DONE, SCHEDULED = 1, 2, 3, 4 -- kinds of batch, and the places of their counts
-- `kind`: one of the above, never DONE. `oldest_ms`: milliseconds that the oldest job waits, or -1. Then jobs by state.
local COLUMN = {lane = 1, priority = 2, kind = 3, oldest_ms = 4, q = 5, h = 6, d = 7, r = 8, x = 9}
local rows, row_of = {}, {}
local ended, batches = {0, 0, 0}, {0, 0, 0, 0}

local function count(lane, priority, kind, state, number)
    local name = lane .. ' ' .. priority .. ' ' .. kind
    local row = row_of[name]
    if not row then
        row = {lane, tonumber(priority), kind, -1, 0, 0, 0, 0, 0}
        row_of[name], rows[#rows + 1] = row, row
    end
    row[COLUMN[state]] = row[COLUMN[state]] + number
    return row
end

local function count_waiting(key, lane, priority, kind)
    local number = redis.call('ZCARD', key)
    if number == 0 then return end
    local row = count(lane, priority, kind, 'q', number)
    local submitted = redis.call('HGET', job_key(redis.call('ZRANGE', key, 0, 0)[1]), 't0') or now
    row[COLUMN.oldest_ms] = math.max(row[COLUMN.oldest_ms], now - submitted)
end

local function count_lane(batch, lane, priority, kind, own_priorities, waiting, held)
    if waiting > 0 then
        count_waiting(waiting_key(batch, lane), lane, priority, kind)
        for own in string.gmatch(own_priorities, '%d') do
            count_waiting(waiting_key(batch, lane, own), lane, own, kind)
        end
    end
    if held > 0 then -- at their batch's priority
        local number = redis.call('ZCARD', hold_key(batch, lane))
        if number > 0 then count(lane, priority, kind, 'h', number) end
    end
end

-- Count a batch's jobs in flight; by its own counters where all of them count in one place.
local function count_flight(batch, priority, kind, lanes, own_priorities, counts)
    if own_priorities == '' and not string.find(lanes, ',', 1, true) then
        for state, number in pairs(counts) do count(lanes, priority, kind, state, number) end
        return
    end
    for _, id in ipairs(redis.call('SMEMBERS', flight_key(batch))) do
        local state, lane, own = unpack(redis.call('HMGET', job_key(id), 's', 'l', 'o'))
        if state and COLUMN[state] then count(lane, own or priority, kind, state, 1) end
    end
end

for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches', ARGV[1], ARGV[2])) do
    local succeeded, failed, cancelled, waiting, dispatched, running, cancelling, held, priority, lanes, own = unpack(
        redis.call('HMGET', batch_key(batch), 's', 'f', 'c', 'q', 'd', 'r', 'x', 'h', 'priority', 'lanes', 'own'))
    if priority then -- else its hash is missing
        local paused, closed, early, unmet = unpack(
            redis.call('HMGET', batch_key(batch), 'paused', 'shut', 'early', 'unmet'))
        local kind = ACTIVE
        if closed == '1' or early == '1' or (unmet or '') ~= '' then kind = SCHEDULED end -- as `views.py` has it
        if paused == '1' then kind = PAUSED end
        for i, number in ipairs({succeeded, failed, cancelled}) do ended[i] = ended[i] + number end
        local flying = dispatched + running + cancelling
        waiting, held = tonumber(waiting), tonumber(held or 0)
        local place = waiting + flying + held == 0 and DONE or kind
        batches[place] = batches[place] + 1
        if waiting + held > 0 then
            for lane in string.gmatch(lanes, '[^,]+') do
                count_lane(batch, lane, priority, kind, own or '', waiting, held)
            end
        end
        if flying > 0 then
            count_flight(batch, priority, kind, lanes, own or '', {d = dispatched, r = running, x = cancelling})
        end
    end
end
return {rows, ended, batches}
