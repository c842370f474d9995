-- flags: allow-oom
-- Extend a lease, and record the stage if one is given.
-- ARGV: id, token, lease in seconds, stage or ''. Returns 'continue', 'cancel' or 'lost'.
local job = load_leased(ARGV[1], ARGV[2])
if not job then return 'lost' end
redis.call('ZADD', LEASES, now + ARGV[3] * 1000, job.id)
local stage = ARGV[4]
if stage ~= '' and stage ~= job.stage then
    redis.call('HSET', job_key(job.id), 'x', stage)
    emit_stage(job, stage)
end
return job.state == 'x' and 'cancel' or 'continue'
