-- flags: allow-oom
-- Ask whether an attempt that lost may take its clip out of the store, and if so keep others from adopting it meanwhile.
-- ARGV: id, key of the clip, word of the attempt's claim, seconds for which no attempt may adopt it.
-- Returns 1, or 0 if it is the job's clip.
local result = redis.call('HGET', job_key(ARGV[1]), 's') == 's' and redis.call('GET', result_key(ARGV[1]))
if result then
    local kept = cjson.decode(result) -- `views.result_json`; of the first versions an object
    if (kept.key or kept[1]) == ARGV[2] then return 0 end
end
redis.call('SET', withdrawn_key(ARGV[2], ARGV[3]), 1, 'EX', ARGV[4])
return 1
