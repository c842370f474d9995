-- Queue some of a batch's failed and cancelled jobs again, with failures counted from zero.
-- ARGV: batch, most jobs to look at, place in the batch after which to go on (0: its start), states (`fc`, `f` or `c`),
-- code of the last error or '' for any.
-- Returns {number queued, place of the last job looked at, or -1 if that was the last}, or false if there is no such
-- batch. Going on by place, not by what is left, a job that fails again meanwhile is not retried twice by one call.
local batch, states, code = ARGV[1], ARGV[4], ARGV[5]
if redis.call('EXISTS', batch_key(batch)) == 0 then return false end

local function fits(job)
    if not string.find(states, job.state, 1, true) then return false end
    if code == '' then return true end
    local kept = redis.call('GET', error_key(job.id))
    return kept and cjson.decode(kept).code == code
end

local ids = redis.call('ZRANGEBYSCORE', retry_key(batch), '(' .. ARGV[3], '+inf', 'LIMIT', 0, ARGV[2])
local queued, place = 0, -1
for _, id in ipairs(ids) do
    local job = load_or_drop(id, batch)
    place = job and job.order or place
    if job and fits(job) then
        retry(job)
        queued = queued + 1
    end
end
if #ids < tonumber(ARGV[2]) then place = -1 end
return {queued, place}
