-- Send a message again, whatever became of it. ARGV: webhook, message. Returns 1, or 0 if it is not kept any more.
local id, message = ARGV[1], ARGV[2]
if redis.call('EXISTS', notice_key(id, message)) == 0 then return 0 end
redis.call('HSET', notice_key(id, message), 'n', 0)
redis.call('ZREM', kept_key(id), message)
redis.call('ZADD', due_key(id), now, message)
redis.call('HDEL', hook_key(id), 'rest')
return 1
