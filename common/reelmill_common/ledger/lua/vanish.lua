-- flags: allow-oom
-- Put jobs back in line whose messages are nowhere. ARGV: id, generation, and so on. Returns how many that were.
local count = 0
for i = 1, #ARGV, 2 do
    local job = load_job(ARGV[i])
    if job and job.state == 'd' and job.generation == tonumber(ARGV[i + 1]) then
        requeue(job, 'vanished')
        count = count + 1
    end
end
return count
