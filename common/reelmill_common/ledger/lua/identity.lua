-- Return what tells this farm's record from any other, another life of it too. ARGV: a new id, for a farm that has none.
redis.call('SET', P .. 'identity', ARGV[1], 'NX')
return redis.call('GET', P .. 'identity')
