-- Enter a token. ARGV: name, digest, role, milliseconds at which it expires or '', its owner (left out: all owners).
-- Returns 1, or 0 if a token of that name is valid.
local name, digest = ARGV[1], ARGV[2]
local before = redis.call('HGET', P .. 'token_names', name)
if before then
    local expires = redis.call('HGET', token_key(before), 'expires')
    if not expires or tonumber(expires) > now then return 0 end
    redis.call('DEL', token_key(before))
end
local key = token_key(digest)
redis.call('HSET', key, 'name', name, 'role', ARGV[3], 'created', now)
if ARGV[4] ~= '' then redis.call('HSET', key, 'expires', ARGV[4]) end
if ARGV[5] then redis.call('HSET', key, 'owner', ARGV[5]) end
redis.call('HSET', P .. 'token_names', name, digest)
emit('token.added', '', '', '', 'token', name, 'role', ARGV[3])
return 1
