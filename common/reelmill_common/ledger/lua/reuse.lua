-- Answer a job that waits with a clip that is there already. ARGV: id, result, key of the clip, id of the job that made it.
-- Returns 1, or 0 if it does not wait (any more).
local WAITS = {q = true, d = true}
local job = load_job(ARGV[1])
if not job or not WAITS[job.state] then return 0 end
redis.call('SET', result_key(job.id), ARGV[2])
redis.call('DEL', faults_key(job.id))
charge(job.batch, {'reused', '1'})
move(job, 's', {}, 'job.reused', 'key', ARGV[3], 'from', ARGV[4])
return 1
