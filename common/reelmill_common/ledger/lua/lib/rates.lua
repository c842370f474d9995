-- How many clips were stored lately, of the farm and of each batch: hashes of counts by span of time, for the last hour.
--   rates         spans of a minute      rates:BATCH   spans of five
-- Fields of a span: `N:t` (milliseconds of the first claim or end in it), `N:n` (clips stored), `N:f` (jobs failed), N
-- being the number of spans since 1970.

local RATES_MS = 3600000
local SPAN_MS, BATCH_SPAN_MS = 60000, 300000

local function rates_key(batch) return P .. 'rates:' .. batch end

local function note_in(key, span_ms, count)
    local span = math.floor(now / span_ms)
    if redis.call('HSETNX', key, span .. ':t', now) == 1 then -- the first of its span: forget the old ones
        for _, field in ipairs(redis.call('HKEYS', key)) do
            local number = tonumber(string.match(field, '^(%d+):'))
            if not number or (number + 1) * span_ms <= now - RATES_MS then redis.call('HDEL', key, field) end
        end
        redis.call('EXPIRE', key, 2 * RATES_MS / 1000)
    end
    if count ~= '' then redis.call('HINCRBY', key, span .. ':' .. count, 1) end
end

-- Note that a job was claimed (''), stored (`n`) or failed (`f`).
local function note_rate(batch, count)
    note_in(P .. 'rates', SPAN_MS, count)
    if count ~= 'f' then note_in(rates_key(batch), BATCH_SPAN_MS, count) end
end

-- Return clips stored and jobs failed in the last hour, and the time of the first claim or end in it, or ''.
local function rates_of(key, span_ms)
    local flat, stored, failed, since = redis.call('HGETALL', key), 0, 0, math.huge
    for i = 1, #flat, 2 do
        local span, count = string.match(flat[i], '^(%d+):(%a)$')
        if span and (span + 1) * span_ms > now - RATES_MS then
            if count == 't' then since = math.min(since, tonumber(flat[i + 1])) end
            if count == 'n' then stored = stored + flat[i + 1] end
            if count == 'f' then failed = failed + flat[i + 1] end
        end
    end
    return stored, failed, since < math.huge and since or ''
end
