-- Enter a webhook, or change one; events are sent from the first webhook on. ARGV: id, config, '1' if it
-- must be there already. Returns 1, or 0 if it is not.
local id = ARGV[1]
if ARGV[3] == '1' and redis.call('EXISTS', hook_key(id)) == 0 then return 0 end
redis.call('SADD', HOOKS, id)
redis.call('HSETNX', hook_key(id), 'created', now)
redis.call('HSET', hook_key(id), 'config', ARGV[2])
if redis.call('EXISTS', HOOK_CURSOR) == 0 then
    local newest = redis.call('XREVRANGE', P .. 'events', '+', '-', 'COUNT', 1)
    redis.call('SET', HOOK_CURSOR, newest[1] and newest[1][1] or '0-0')
end
return 1
