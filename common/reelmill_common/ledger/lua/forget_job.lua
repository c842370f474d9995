-- flags: allow-oom
-- Forget one job that has ended; its batch stays. ARGV: job. Returns 1, 0 if there is no such job, or -1 if it goes on.
local id = ARGV[1]
local v = redis.call('HMGET', job_key(id), 'b', 's')
if not v[1] then return 0 end
if not FINAL[v[2]] then return -1 end
redis.call('LREM', order_key(v[1]), -1, id)
forget_job(v[1], id)
emit('job.forgotten', v[1], id, '')
return 1
