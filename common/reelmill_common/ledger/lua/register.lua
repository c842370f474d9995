-- Enter a worker as starting. Jobs leased to an earlier life of the name are taken back at once: that life is over.
-- A quarantined worker stays quarantined. ARGV: worker, profile, info, most attempts, rules, how the process before it
-- ended (`died`, `stalled`, or '' if that is not known), all lanes that it serves as far as that is known, by commas.
local worker, profile, ended = ARGV[1], ARGV[2], ARGV[6]
local limits = {most = tonumber(ARGV[4]), rules = ARGV[5], died = ended ~= ''}
local code, why = 'worker_lost', 'was started anew'
if ended == 'died' then why = 'lost its process' end
if ended == 'stalled' then code, why = 'stalled', 'made no progress' end
local before = redis.call('HMGET', worker_key(worker), 'lane', 'state')
for _, id in ipairs(redis.call('SMEMBERS', held_key(worker))) do
    local job = load_or_drop(id)
    if job then worker_lost(job, code, why, limits) else redis.call('SREM', held_key(worker), id) end
end
if before[1] then
    before[2] = redis.call('HGET', worker_key(worker), 'state') -- it may just have been quarantined
    note_lost(worker)
end
redis.call('SADD', WORKERS, worker)
redis.call('ZADD', BEATS, now, worker)
redis.call('HSET', worker_key(worker), 'info', ARGV[3], 'seen', now)
set_lanes(worker, ARGV[7])
set_worker(worker, profile, before[2] == 'quarantined' and 'quarantined' or 'starting')
emit('worker.registered', '', '', worker, 'lane', profile)
return 1
