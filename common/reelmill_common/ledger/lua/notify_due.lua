-- flags: no-writes
-- Ask what is to be sent now; changes nothing. ARGV: most messages of one webhook. Returns of each webhook that is
-- neither disabled nor at rest: id, config, then for each message: message, type, body, attempts before.
local answer = {}
for _, id in ipairs(redis.call('SMEMBERS', HOOKS)) do
    local v = redis.call('HMGET', hook_key(id), 'config', 'disabled', 'rest')
    local due = {}
    if not v[2] and tonumber(v[3] or 0) <= now then
        due = redis.call('ZRANGEBYSCORE', due_key(id), '-inf', now, 'LIMIT', 0, ARGV[1])
    end
    if #due > 0 then
        local row = {id, v[1]}
        for _, message in ipairs(due) do
            local m = redis.call('HMGET', notice_key(id, message), 'type', 'body', 'n')
            row[#row + 1] = message
            for k = 1, 3 do row[#row + 1] = m[k] end
        end
        answer[#answer + 1] = row
    end
end
return answer
