-- flags: allow-oom
-- Ask whether a clip may be taken out of the store, and if so keep it from being published or adopted meanwhile.
-- ARGV: id, key of the clip, word of the claim that stored it ('' if that is not known), seconds for which no attempt
-- may adopt it. Returns 1, or 0 if it is the job's clip.
if clip_of(ARGV[1]) == ARGV[2] then return 0 end
redis.call('SET', withdrawn_key(ARGV[2], ARGV[3]), 1, 'EX', ARGV[4])
return 1
