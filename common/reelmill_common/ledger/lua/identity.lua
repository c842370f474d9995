-- Return what tells this farm's record from any other, also from an earlier one of the same farm.
-- ARGV: a new id, for a farm that has none.
redis.call('SET', P .. 'identity', ARGV[1], 'NX')
return redis.call('GET', P .. 'identity')
