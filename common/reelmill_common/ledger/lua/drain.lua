-- flags: allow-oom
-- Mark a worker as taking no more jobs. ARGV: worker, milliseconds that it has until it ends ('': as long as its clips take).
-- What it renders and will not have published by then is given back at once; what is on its way to the store stays.
-- Returns one more than the number of jobs given back, or 0 if it is not registered.
local worker, left = ARGV[1], tonumber(ARGV[2] or nil)
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return 0 end
if v[2] ~= 'quarantined' then set_worker(worker, v[1], 'draining') end
local given = 0
for _, id in ipairs(left and redis.call('SMEMBERS', held_key(worker)) or {}) do
    local job = load_or_drop(id)
    if not job then
        redis.call('SREM', held_key(worker), id)
    elseif not IN_DELIVERY[job.stage] then
        local begun = tonumber(redis.call('HGET', job_key(id), 't1') or now)
        local ends = begun + surely_done(worker, job.lane) - now
        if ends > now + left then
            give_back(job, 'released')
            given = given + 1
        end
    end
end
return given + 1
