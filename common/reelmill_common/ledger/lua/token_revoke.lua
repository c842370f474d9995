-- flags: allow-oom
-- Revoke a token. ARGV: name. Returns 1, or 0 if there is no such token.
local digest = redis.call('HGET', P .. 'token_names', ARGV[1])
if not digest then return 0 end
redis.call('DEL', token_key(digest))
redis.call('HDEL', P .. 'token_names', ARGV[1])
emit('token.revoked', '', '', '', 'token', ARGV[1])
return 1
