-- flags: no-writes
-- Read owners, for a forecast; changes nothing. ARGV: their names.
-- Returns {name, {field, value, …}, {lane:priority where it has batches that may run, …}} for each.
local owners = {}
for _, owner in ipairs(ARGV) do
    owners[#owners + 1] = {owner, redis.call('HGETALL', owner_key(owner)), redis.call('SMEMBERS',
        owner_levels_key(owner))}
end
return owners
