-- lib: move ending
-- Take back some of what nobody works on: expired leases, and dispatched jobs whose message must have vanished.
-- Says once of a worker that it is lost. ARGV: seconds after which a message is given up, seconds of silence after
-- which a worker is lost, most attempts, most jobs to touch. Returns the number of jobs touched.
local most = tonumber(ARGV[4])
local expired = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(expired) do worker_lost(load_job(id), 'stopped reporting', tonumber(ARGV[3])) end

local vanished = redis.call('ZRANGEBYSCORE', SENT, '-inf', now - ARGV[1] * 1000, 'LIMIT', 0, most - #expired)
for _, id in ipairs(vanished) do requeue(load_job(id), 'vanished') end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', BEATS, '-inf', now - ARGV[2] * 1000, 'LIMIT', 0, most)) do
    redis.call('ZREM', BEATS, worker)
    redis.call('ZREM', live_key(redis.call('HGET', worker_key(worker), 'lane')), worker)
    tell('worker.lost', '', '', worker)
end
return #expired + #vanished
