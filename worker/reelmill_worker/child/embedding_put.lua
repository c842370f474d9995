-- Keep an embedding, and forget those that were not used for longest until all fit into the room for them.
-- KEYS[1]: prefix of the farm's embeddings. ARGV: name, content, bytes of room, seconds to keep, now in microseconds.
local P, name, content = KEYS[1], ARGV[1], ARGV[2]
local recent, sizes, total = P .. 'recent', P .. 'sizes', P .. 'total'
local function forget(old)
    redis.call('DEL', P .. old)
    redis.call('ZREM', recent, old)
    redis.call('DECRBY', total, redis.call('HGET', sizes, old) or 0)
    redis.call('HDEL', sizes, old)
end
if redis.call('HEXISTS', sizes, name) == 1 then forget(name) end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', recent, '-inf', ARGV[5] - ARGV[4] * 1000000, 'LIMIT', 0, 100)) do
    forget(old)
end
while #content + tonumber(redis.call('GET', total) or 0) > tonumber(ARGV[3]) do
    local oldest = redis.call('ZRANGE', recent, 0, 0)[1]
    if not oldest then return 0 end
    forget(oldest)
end
redis.call('SET', P .. name, content, 'EX', ARGV[4])
redis.call('ZADD', recent, ARGV[5], name)
redis.call('HSET', sizes, name, #content)
redis.call('INCRBY', total, #content)
return 1
