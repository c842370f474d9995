-- Turn events into messages and step over them, at once: a sender that dies has done both or neither. ARGV: token,
-- cursor as it was, cursor as it is to be, most messages that may wait for one webhook, then for each message: webhook,
-- message, type, body. Returns 1, or 0 if another one sends by now.
if not is_sender(ARGV[1]) or redis.call('GET', HOOK_CURSOR) ~= ARGV[2] then return 0 end
redis.call('SET', HOOK_CURSOR, ARGV[3])
for i = 5, #ARGV, 4 do
    local id, message = ARGV[i], ARGV[i + 1]
    local v = redis.call('HMGET', hook_key(id), 'config', 'disabled')
    if v[1] and not v[2] then
        redis.call('HSET', notice_key(id, message), 'type', ARGV[i + 2], 'body', ARGV[i + 3], 'n', 0, 'at', now)
        redis.call('ZADD', due_key(id), now, message)
        local over = redis.call('ZCARD', due_key(id)) - ARGV[4]
        if over > 0 then
            local old = redis.call('ZPOPMIN', due_key(id), over)
            for k = 1, #old, 2 do redis.call('DEL', notice_key(id, old[k])) end
            redis.call('HINCRBY', hook_key(id), 'dropped', over)
        end
    end
end
return 1
