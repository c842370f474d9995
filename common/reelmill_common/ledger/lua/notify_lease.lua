-- Become or stay the one who sends. ARGV: holder, milliseconds. Returns the token and the cursor; an empty token if
-- another one sends, or if there is no webhook.
if redis.call('EXISTS', HOOKS) == 0 then return {'', ''} end
local v = redis.call('HMGET', HOOK_SENDER, 'holder', 'until', 'token')
local running = v[2] and tonumber(v[2]) > now
if running and v[1] ~= ARGV[1] then return {'', ''} end
local token = v[3]
if not (running and v[1] == ARGV[1]) then token = redis.call('HINCRBY', HOOK_SENDER, 'token', 1) end
redis.call('HSET', HOOK_SENDER, 'holder', ARGV[1], 'until', now + ARGV[2])
return {tostring(token), redis.call('GET', HOOK_CURSOR)}
