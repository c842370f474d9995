-- lib: move ending worker
-- Enter a worker as starting. Jobs leased to an earlier life of the name are taken back at once: that life is over.
-- A quarantined worker stays quarantined. ARGV: worker, lane, info, most attempts.
local worker, lane = ARGV[1], ARGV[2]
for _, id in ipairs(redis.call('SMEMBERS', held_key(worker))) do
    worker_lost(load_job(id), 'was started anew', tonumber(ARGV[4]))
end
local before = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if before[1] then redis.call('ZREM', live_key(before[1]), worker) end
redis.call('SADD', WORKERS, worker)
redis.call('ZADD', BEATS, now, worker)
redis.call('HSET', worker_key(worker), 'info', ARGV[3], 'seen', now)
set_worker(worker, lane, before[2] == 'quarantined' and 'quarantined' or 'starting')
tell('worker.registered', '', '', worker, 'lane', lane)
return 1
