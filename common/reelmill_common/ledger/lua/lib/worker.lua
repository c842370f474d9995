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

-- `may_return`: '1' if it is for failed jobs, which a fresh process may end; else somebody has to look first.
local function quarantine(worker, lane, reason, may_return)
    set_worker(worker, lane, 'quarantined', 'reason', reason, 'since', now, 'may_return', may_return)
    tell('worker.quarantined', '', '', worker, 'reason', reason)
end

local function forgive(worker, lane)
    set_worker(worker, lane, 'starting', 'reason', '', 'may_return', '')
    redis.call('DEL', streak_key(worker))
    tell('worker.forgiven', '', '', worker)
end
