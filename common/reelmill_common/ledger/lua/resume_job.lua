-- Put a held job back in line, at its old place. ARGV: id.
-- Returns the state that it has now, or false if there is no such job.
local job = load_job(ARGV[1])
if not job then return false end
if job.state == 'h' then requeue(job, 'resumed') end
return job.state
