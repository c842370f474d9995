-- How a batch's policy gets into its hash, when it is made and when it is changed.
--   max_failures  how many may fail before it pauses itself, or a share as `5%`
--   start         milliseconds before which nothing of it starts; `early` is 1 until sweep has seen that time
--   expires       milliseconds after which nothing of it starts
--   finish_by     milliseconds by which all of it should be done; only forecasts go by it
--   after         batches whose clips must all have succeeded; `after_any` those that only must have ended

-- Return the first of some names that is not a batch, or nil.
local function unknown_of(names)
    for name in string.gmatch(names, '[^,]+') do
        if redis.call('EXISTS', batch_key(name)) == 0 then return name end
    end
end

-- Whether a batch waits for another one, by however many in between.
local function waits_for(batch, other, seen)
    if batch == other then return true end
    if seen[batch] then return false end
    seen[batch] = true
    for name in string.gmatch(redis.call('HGET', batch_key(batch), 'unmet') or '', '[^,]+') do
        if waits_for(name, other, seen) then return true end
    end
    return false
end

local function set_start(batch, start)
    redis.call('HSET', batch_key(batch), 'start', start)
    if start ~= '' and tonumber(start) > now then
        redis.call('HSET', batch_key(batch), 'early', 1)
        redis.call('ZADD', STARTS, start, batch)
    else
        redis.call('HDEL', batch_key(batch), 'early')
        redis.call('ZREM', STARTS, batch)
    end
end

local function set_expiry(batch, expires)
    redis.call('HSET', batch_key(batch), 'expires', expires)
    if expires == '' then redis.call('ZREM', EXPIRIES, batch) else redis.call('ZADD', EXPIRIES, expires, batch) end
end

local function set_after(batch, after, after_any)
    local key = batch_key(batch)
    for name in string.gmatch(redis.call('HGET', key, 'unmet') or '', '[^,]+') do
        redis.call('SREM', dependants_key(name), batch)
    end
    local all = after .. ',' .. after_any
    for name in string.gmatch(all, '[^,]+') do redis.call('SADD', dependants_key(name), batch) end
    redis.call('HSET', key, 'after', after, 'after_any', after_any, 'unmet', all, 'stuck', '')
    settle_after(batch)
end
