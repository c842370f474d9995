-- flags: allow-oom
-- Confirm that a running job has stopped because it was asked to. ARGV: id, token, and what it cost: GPU ms, mJ or ''.
-- Returns 1, also when it is repeated; 0 if the lease was lost or no cancel was requested.
local job = load_job(ARGV[1])
if not job or token_of(job) ~= ARGV[2] then return 0 end
if job.state == 'c' then return 1 end
if job.state ~= 'x' then return 0 end
charge(job.batch, {'waste', ARGV[3], 'waste_energy', ARGV[4]})
cancel(job)
return 1
