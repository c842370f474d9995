-- flags: allow-oom
-- Take back some of what no worker works on: expired leases, and dispatched jobs whose message must have vanished.
-- Notices that the clock was set. Reports once that a worker is lost; one that was leaving is forgotten instead.
-- ARGV: seconds after which a message is given up, seconds of silence after which a worker is lost, most attempts, most
-- jobs to touch, rules, seconds of silence after which a lost worker is forgotten (0: never), unless a person has to look at
-- it or it still holds a lease. Returns the number of jobs touched.
watch_clock()
local most, limits = tonumber(ARGV[4]), {most = tonumber(ARGV[3]), rules = ARGV[5], died = false}
local expired = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(expired) do
    local job = load_or_drop(id)
    if job then worker_lost(job, 'worker_lost', 'stopped reporting', limits) end
end

local vanished = redis.call('ZRANGEBYSCORE', SENT, '-inf', now - ARGV[1] * 1000, 'LIMIT', 0, most - #expired)
for _, id in ipairs(vanished) do
    local job = load_or_drop(id)
    if job then requeue(job, 'vanished') end
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', BEATS, '-inf', now - ARGV[2] * 1000, 'LIMIT', 0, most)) do
    local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
    if v[2] ~= 'draining' then
        redis.call('ZREM', BEATS, worker)
        if v[1] then note_lost(worker) end
        redis.call('ZADD', P .. 'lost', now, worker)
        emit('worker.lost', '', '', worker)
    elseif redis.call('EXISTS', held_key(worker)) == 0 then -- it left, and was killed before it could say so
        note_lost(worker)
        forget(worker)
        emit('worker.retired', '', '', worker)
    end
end

local forget_ms = tonumber(ARGV[6] or 0) * 1000
local silent = forget_ms > 0 and redis.call('ZRANGEBYSCORE', P .. 'lost', '-inf', now - forget_ms, 'LIMIT', 0, most) or {}
for _, worker in ipairs(silent) do
    local v = redis.call('HMGET', worker_key(worker), 'seen', 'state')
    local returned = not v[1] or now - v[1] < forget_ms
    local kept = v[2] == 'quarantined' or redis.call('SISMEMBER', paused_workers(), worker) == 1
    if returned or kept then
        redis.call('ZREM', P .. 'lost', worker)
    elseif redis.call('EXISTS', held_key(worker)) == 0 then
        forget(worker)
        emit('worker.pruned', '', '', worker)
    end
end
return #expired + #vanished
