-- How a batch's window opens and shuts. Its hash has `window` (as written), `shut` ('1' while it is) and `closes` (when
-- it next does, or ''); the sorted set of windows has the moment of each batch's next change.

-- Start no more: what was dispatched goes back in line (its messages die at claim), what runs goes on.
local function shut(batch, reason)
    redis.call('HSET', batch_key(batch), 'shut', 1)
    take_back_sent(batch, reason)
    reindex(batch)
    tell('batch.window_shut', batch, '', '', 'reason', reason)
end

local function unshut(batch)
    redis.call('HSET', batch_key(batch), 'shut', 0)
    reindex(batch)
    tell('batch.window_opened', batch, '', '')
end

-- Take over what a window says now. `change` is '' if it stays so for ever.
local function turn(batch, is_shut, change)
    local before = redis.call('HGET', batch_key(batch), 'shut')
    redis.call('HSET', batch_key(batch), 'closes', is_shut and '' or change)
    if change == '' then redis.call('ZREM', WINDOWS, batch) else redis.call('ZADD', WINDOWS, change, batch) end
    if is_shut and before ~= '1' then shut(batch, 'window') end
    if not is_shut and before == '1' then unshut(batch) end
end
