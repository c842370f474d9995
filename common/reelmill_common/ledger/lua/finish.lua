-- flags: allow-oom
-- Publish a clip: once, and only by the holder of the lease. A clip that is stored already wins over a request to
-- cancel. The same attempt may repeat it (its first answer can be lost on the way) and gets the same answer.
-- ARGV: id, token, key of the clip, result, what it cost (bytes, GPU ms, mJ or ''), '1' if others may have the clip too,
-- '' or, if another attempt stored the clip, the word of its claim after a `:`.
-- Returns 1, 2 if an owner may have jobs dispatched now who might not before, or 0 if the attempt lost, or if the clip is
-- being removed.
local job = load_leased(ARGV[1], ARGV[2])
if not job then
    job = load_job(ARGV[1])
    local again = job and job.state == 's' and token_of(job) == ARGV[2]
        and redis.call('GET', result_key(job.id)) == ARGV[4]
    return again and 1 or 0
end
has_placed = false
local adopts = ARGV[9] ~= ''
if redis.call('EXISTS', withdrawn_key(ARGV[3], adopts and string.sub(ARGV[9], 2) or job.fence)) == 1 then return 0 end
if adopts and redis.call('EXISTS', withdrawn_key(ARGV[3], '')) == 1 then return 0 end
redis.call('SET', result_key(job.id), ARGV[4])
redis.call('DEL', streak_key(job.worker), faults_key(job.id)) -- a clip clears both of suspicion
if not adopts then measure(job) end
local energy = ARGV[7] or ''
charge(job.batch, {'clips', '1', 'bytes', ARGV[5], 'gpu', ARGV[6], 'energy', energy,
    'metered', energy ~= '' and '1' or ''})
if ARGV[8] == '1' then
    local made, mark = made_place(job.id)
    redis.call('HSET', made, mark, job.id)
end
move(job, 's', {}, 'job.finished', 'key', ARGV[3])
return has_placed and 2 or 1
