-- flags: allow-oom
-- Remove a worker that ended in order, and give back what it still leased. A quarantine stays on record.
-- ARGV: worker, and 1 if its process ends with messages in hand, which are then looked for at once.
local worker, abrupt = ARGV[1], ARGV[2] == '1'
for _, id in ipairs(redis.call('SMEMBERS', held_key(worker))) do
    local job = load_or_drop(id)
    if job then give_back(job, 'released') else redis.call('SREM', held_key(worker), id) end
end
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 1 end
redis.call('ZREM', BEATS, worker)
if abrupt then note_lost(worker) else unset_live(worker) end
if v[2] ~= 'quarantined' then
    redis.call('DEL', worker_key(worker))
    redis.call('SREM', WORKERS, worker)
end
emit('worker.retired', '', '', worker)
return 1
