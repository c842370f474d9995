-- List the jobs of a lane that were sent a while ago and not claimed, unless their messages were looked for shortly before.
-- ARGV: lane, seconds that a message may take, seconds between two looks of the whole farm, most jobs.
-- Returns {milliseconds at which a worker of the lane was last lost or the server was started, for it may remember
-- messages as fetched whose end it has forgotten; {id, generation, milliseconds it was sent at} ...}.
local lane = ARGV[1]
local ids = redis.call('ZRANGEBYSCORE', SENT, '-inf', now - ARGV[2] * 1000, 'WITHSCORES', 'LIMIT', 0, ARGV[4])
if #ids == 0 then return {} end
if not redis.call('SET', P .. 'looked:' .. lane, 1, 'NX', 'PX', math.floor(ARGV[3] * 1000)) then return {} end
local found = {math.max(steady_since, tonumber(redis.call('HGET', lane_key(lane), 'lost') or 0))}
for i = 1, #ids, 2 do
    local job = load_job(ids[i])
    if job and job.lane == lane then found[#found + 1] = {job.id, job.generation, ids[i + 1]} end
end
return found
