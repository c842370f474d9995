-- Mark a worker ready, unless it is quarantined or draining: those last until forgiven or registered anew.
-- ARGV: worker, info, all lanes that it serves by commas, or '' for those that are known. Returns 1, or 0 if it is not
-- registered.
local worker = ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 0 end
redis.call('ZADD', BEATS, now, worker)
redis.call('HSET', worker_key(worker), 'info', ARGV[2], 'seen', now)
if ARGV[3] ~= '' then set_lanes(worker, ARGV[3]) end
if v[2] == 'starting' or v[2] == 'ready' then
    set_worker(worker, v[1], 'ready')
    if v[2] == 'starting' then emit('worker.ready', '', '', worker) end
end
return 1
