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

steady_since = now -- what was answered before is forgotten: attempts look into the store first for some minutes
return bring_back(P .. ARGV[1], ARGV[2])
