-- flags: allow-oom
-- Note that a token is used now. ARGV: digest.
local key = token_key(ARGV[1])
if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'used', now) end
return 1
