-- Change an owner's share or cap; an owner may be entered before any batch of it. ARGV: owner, weight or '', cap or ''.
local owner = ARGV[1]
redis.call('SADD', OWNERS, owner)
if ARGV[2] ~= '' then redis.call('HSET', owner_key(owner), 'weight', ARGV[2]) end
if ARGV[3] ~= '' then redis.call('HSET', owner_key(owner), 'cap', ARGV[3]) end
replace_owner(owner)
emit('owner.set', '', '', '', 'owner', owner, 'weight', ARGV[2], 'max_in_flight', ARGV[3])
return 1
