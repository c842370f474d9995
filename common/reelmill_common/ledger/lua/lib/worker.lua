-- How a worker changes its state.

-- Only a ready one counts for pump.
local function set_worker(worker, lane, state, ...)
    redis.call('HSET', worker_key(worker), 'lane', lane, 'state', state, ...)
    if state == 'ready' then
        redis.call('ZADD', live_key(lane), redis.call('HGET', worker_key(worker), 'seen'), worker)
    else
        redis.call('ZREM', live_key(lane), worker)
    end
end

local function rest(worker, lane)
    set_worker(worker, lane, 'resting')
    tell('worker.rested', '', '', worker)
end
