-- How a batch's window opens and closes. Its hash has `window` (as written), `shut` ('1' while it is closed) and `closes`
-- (milliseconds at which it next closes, or ''); the sorted set of windows has the time of each batch's next change.

-- Start no more: what was dispatched goes back in line (its messages die at claim), what runs goes on.
local function close_window(batch, reason)
    redis.call('HSET', batch_key(batch), 'shut', 1)
    take_back_sent(batch, reason)
    reindex(batch)
    emit('batch.window_shut', batch, '', '', 'reason', reason)
end

local function open_window(batch)
    redis.call('HSET', batch_key(batch), 'shut', 0)
    reindex(batch)
    emit('batch.window_opened', batch, '', '')
end

-- Enter what a window says now. `change` is '' if it stays so for ever.
local function apply_window(batch, is_closed, change)
    local before = redis.call('HGET', batch_key(batch), 'shut')
    redis.call('HSET', batch_key(batch), 'closes', is_closed and '' or change)
    if change == '' then redis.call('ZREM', WINDOWS, batch) else redis.call('ZADD', WINDOWS, change, batch) end
    if is_closed and before ~= '1' then close_window(batch, 'window') end
    if not is_closed and before == '1' then open_window(batch) end
end
