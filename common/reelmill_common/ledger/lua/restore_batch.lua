-- Bring back a batch that had ended, when all its jobs are there. ARGV: batch, JSON object of fields of `batch:NAME`.
-- Returns 1, or 0 if there is a batch of that name.
local batch, key = ARGV[1], batch_key(ARGV[1])
if redis.call('EXISTS', key) == 1 then return 0 end
steady_since = now -- as `restore_key` says
local fields = cjson.decode(ARGV[2])
for name, value in pairs(fields) do redis.call('HSET', key, name, value) end
restore(batch)
redis.call('ZADD', P .. 'batches', fields.created, batch)
redis.call('SADD', OWNERS, fields.owner)
emit('batch.restored', batch, '', '')
return 1
