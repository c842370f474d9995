-- flags: no-writes
-- Returns of each webhook: id, config, created, failing, disabled, dropped, messages that wait.
local answer = {}
for _, id in ipairs(redis.call('SMEMBERS', HOOKS)) do
    local v = redis.call('HMGET', hook_key(id), 'config', 'created', 'failing', 'disabled', 'dropped')
    answer[#answer + 1] = {
        id, v[1], v[2], v[3] or '', v[4] or '', v[5] or '0', redis.call('ZCARD', due_key(id)),
    }
end
return answer
