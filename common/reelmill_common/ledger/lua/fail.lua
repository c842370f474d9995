-- flags: allow-oom
-- Report a failed attempt. ARGV: id, token, code, message, '1' if retryable, most attempts, rules,
-- and what it cost: GPU ms, mJ or ''.
-- Returns the new state, or false if the attempt had lost its lease.
local job = load_leased(ARGV[1], ARGV[2])
if not job then return false end
charge(job.batch, {'waste', ARGV[8], 'waste_energy', ARGV[9]})
attempt_failed(job, ARGV[3], ARGV[4], ARGV[5] == '1', {most = tonumber(ARGV[6]), rules = ARGV[7]}, false)
return job.state
