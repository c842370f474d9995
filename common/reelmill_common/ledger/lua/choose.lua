-- Mark a job's clip. ARGV: job, the mark's letter and the note, or '' for no mark; name of the mark, or ''.
-- Returns 1, or 0 if there is no such job.
local id, text = ARGV[1], ARGV[2]
local batch = redis.call('HGET', job_key(id), 'b')
if not batch then return 0 end
local key = choices_key(batch)
if (redis.call('HGET', key, id) or '') == text then return 1 end
if text == '' then redis.call('HDEL', key, id) else redis.call('HSET', key, id, text) end
emit('job.chosen', batch, id, '', 'mark', ARGV[3])
return 1
