-- Queue a succeeded job again, whose clip the store has no longer. ARGV: id, key of that clip.
-- Returns 1, or 0 if the job has no such clip (any more).
local job = load_job(ARGV[1])
local result = job and job.state == 's' and redis.call('GET', result_key(job.id))
if not result or cjson.decode(result)[1] ~= ARGV[2] then return 0 end
redis.call('DEL', result_key(job.id))
retry(job)
return 1
