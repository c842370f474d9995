-- Queue a succeeded job again, whose clip the store has no longer. ARGV: id, key of that clip.
-- Returns 1, or 0 if the job has no such clip (any more).
if clip_of(ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('DEL', result_key(ARGV[1]))
retry(load_job(ARGV[1]))
return 1
