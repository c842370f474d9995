-- flags: allow-oom
-- Hold one job back, if it waits: a message about it that is under way dies at claim. ARGV: id.
-- Returns the state that it has now, or false if there is no such job.
local job = load_job(ARGV[1])
if not job then return false end
if job.state == 'q' or job.state == 'd' then move(job, 'h', {}, 'job.held') end
return job.state
