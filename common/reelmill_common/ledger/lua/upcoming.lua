-- flags: no-writes
-- Read what some lanes of a profile have dispatched, in the order in which it will probably be claimed; changes nothing. The
-- jobs are shared among the workers of the profile: to one whose share is empty none are listed, and that costs no look.
-- ARGV: lanes by commas, most jobs, seconds within which a worker must have beaten, a number that decides the caller's
-- share, or '' if only a worker that is alone has one. Returns {ready workers of the profile, {specs of all shares}}.
local workers = redis.call('ZCOUNT', live_key(profile_of(ARGV[1])), '(' .. (now - ARGV[3] * 1000), '+inf')
local is_alone = workers <= 1
if not is_alone and (ARGV[4] == '' or ARGV[4] % workers >= tonumber(ARGV[2])) then return {workers, {}} end
local lanes, found = ',' .. ARGV[1] .. ',', {}
local sent = redis.call('ZRANGE', SENT, 0, 199, 'WITHSCORES')
for i = 1, #sent, 2 do
    local job = redis.call('HMGET', job_key(sent[i]), 'l', 'p', 'n')
    if job[1] and string.find(lanes, ',' .. job[1] .. ',', 1, true) then
        found[#found + 1] = {sent[i], tonumber(job[2] or 0), tonumber(sent[i + 1]), tonumber(job[3])}
    end
end
table.sort(found, function(a, b)
    if a[2] ~= b[2] then return a[2] > b[2] end
    if a[3] ~= b[3] then return a[3] < b[3] end
    return a[4] < b[4]
end)
local specs = {}
for i = 1, math.min(#found, tonumber(ARGV[2])) do
    specs[#specs + 1] = redis.call('GET', spec_key(found[i][1])) or nil
end
return {workers, specs}
