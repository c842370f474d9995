-- flags: allow-oom
-- Check at connect that this server takes writes, and that the ledger on it is of a version that we know.
-- ARGV: schema version. Returns the version that the ledger has.
redis.call('HSETNX', P .. 'meta', 'schema', ARGV[1])
return redis.call('HGET', P .. 'meta', 'schema')
