-- Give one job a priority of its own, whatever its batch's is. If it was dispatched it goes back in line, to be sent
-- again with the new one; if it runs, it has it in case that it comes back in line. ARGV: id, priority.
-- Returns the state that it has now, or false if there is no such job.
local job, own = load_job(ARGV[1]), ARGV[2]
if not job then return false end
if FINAL[job.state] or job.own == own then return job.state end
local levels = redis.call('HGET', batch_key(job.batch), 'own') or ''
if not string.find(levels, own, 1, true) then redis.call('HSET', batch_key(job.batch), 'own', levels .. own) end
if job.state == 'd' then requeue(job, 'prioritized') end
if job.state == 'q' then leave(job) end
job.own = own
redis.call('HSET', job_key(job.id), 'o', own)
if job.state == 'q' then
    enter(job, 'q')
    reindex(job.batch)
end
emit('job.prioritized', job.batch, job.id, '', 'priority', own)
return job.state
