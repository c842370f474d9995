-- flags: allow-oom
-- Remove a webhook with all its messages. ARGV: id. Returns 1, or 0 if there is none.
local id = ARGV[1]
if redis.call('SREM', HOOKS, id) == 0 then return 0 end
for _, index in ipairs({due_key(id), kept_key(id)}) do
    for _, message in ipairs(redis.call('ZRANGE', index, 0, -1)) do redis.call('DEL', notice_key(id, message)) end
    redis.call('DEL', index)
end
redis.call('DEL', hook_key(id))
if redis.call('EXISTS', HOOKS) == 0 then redis.call('DEL', HOOK_CURSOR) end -- the next one begins anew
return 1
