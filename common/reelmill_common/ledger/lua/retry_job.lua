-- Queue one job again if it failed or was cancelled, with failures counted from zero. ARGV: id.
-- Returns {the state that it has now, 1 if it was queued by this}, or false if there is no such job.
local job = load_job(ARGV[1])
if not job then return false end
local again = RETRY[job.state]
if again then retry(job) end
return {job.state, again and 1 or 0}
