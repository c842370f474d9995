-- flags: allow-oom
-- Cancel one job: at once if it waits, by request if it runs. ARGV: id.
-- Returns the state that it has now, or false if there is no such job.
local job = load_job(ARGV[1])
if not job then return false end
if job.state == 'q' or job.state == 'h' or job.state == 'd' then
    cancel(job)
elseif job.state == 'r' then
    request_cancel(job)
end
return job.state
