-- Take a worker's name for a machine, before it registers: only if no live worker of another machine has it, and no
-- other machine took it within that time. ARGV: worker, machine, seconds within which a worker must have beaten, seconds
-- that it has for registering. Returns 1, or 0 if the name is another's.
local worker, machine, key = ARGV[1], ARGV[2], P .. 'name:' .. ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'info', 'seen')
if v[1] and now - v[2] < ARGV[3] * 1000 then
    local other = cjson.decode(v[1]).machine
    if other and other ~= machine then return 0 end
end
local taken = redis.call('GET', key)
if taken and taken ~= machine then return 0 end
redis.call('SET', key, machine, 'PX', math.floor(ARGV[4] * 1000))
return 1
