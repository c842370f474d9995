-- flags: allow-oom
-- Give a job back without counting the attempt. ARGV: id, token. Returns 1, or 0 if the lease was lost.
local job = load_leased(ARGV[1], ARGV[2])
if not job then return 0 end
give_back(job, 'released')
return 1
