-- Bring back a key of the record from its copy; what is there by now stays as it is, except the identity.
-- ARGV: name of the key behind the farm's prefix, type (string, hash, set, zset, list), its members: of a hash field and
-- value in turn, of a sorted set member and score. Returns how many were not there.
local function bring_back(key, kind)
    if kind == 'string' then
        redis.call('SET', key, ARGV[3])
        return 1
    elseif kind == 'list' and redis.call('EXISTS', key) == 1 then
        return 0
    end
    local added, step = 0, (kind == 'hash' or kind == 'zset') and 2 or 1
    for i = 3, #ARGV, step do
        if kind == 'hash' then added = added + redis.call('HSETNX', key, ARGV[i], ARGV[i + 1]) end
        if kind == 'zset' then added = added + redis.call('ZADD', key, 'NX', ARGV[i + 1], ARGV[i]) end
        if kind == 'set' then added = added + redis.call('SADD', key, ARGV[i]) end
        if kind == 'list' then added = redis.call('RPUSH', key, ARGV[i]) end
    end
    return added
end

-- Who made a token or a schedule anew under its name keeps that one: the older one would be a secret that no list shows, or
-- lend the new one what it has not, and its rows would be nobody's.
local function is_replaced(name)
    local digest, rows = string.match(name, '^token:(.+)$'), string.match(name, '^rows:(.+)$')
    if digest then
        for i = 3, #ARGV, 2 do
            if ARGV[i] == 'name' then return redis.call('HGET', P .. 'token_names', ARGV[i + 1]) ~= digest end
        end
        return true
    elseif rows then
        for _, schedule in ipairs(redis.call('SMEMBERS', SCHEDULE_NAMES)) do
            if redis.call('HGET', schedule_key(schedule), 'rows') == rows then return false end
        end
        return true
    end
    return string.match(name, '^schedule:') and redis.call('EXISTS', P .. name) == 1
end

steady_since = now -- what was answered before is forgotten: attempts look into the store first for some minutes
if is_replaced(ARGV[1]) then return 0 end
return bring_back(P .. ARGV[1], ARGV[2])
