-- Bring back jobs of a batch that had ended, from its archive; `restore_batch` makes the batch of them.
-- ARGV: batch, then for each job: id, hash, spec, and the texts of metadata, result, error and choice or ''. The hash is a
-- JSON object of the fields of `job:ID`. Returns how many were not there.
local batch, added = ARGV[1], 0
for i = 2, #ARGV, 7 do
    local id = ARGV[i]
    if redis.call('EXISTS', job_key(id)) == 0 then
        added = added + 1
        local fields = cjson.decode(ARGV[i + 1])
        for name, value in pairs(fields) do redis.call('HSET', job_key(id), name, value) end
        redis.call('SET', spec_key(id), ARGV[i + 2])
        for place, key in ipairs({meta_key(id), result_key(id), error_key(id)}) do
            if ARGV[i + 2 + place] ~= '' then redis.call('SET', key, ARGV[i + 2 + place]) end
        end
        if ARGV[i + 6] ~= '' then redis.call('HSET', choices_key(batch), id, ARGV[i + 6]) end
        redis.call('RPUSH', order_key(batch), id)
        if fields.s == 's' then
            local made, mark = made_place(id)
            redis.call('HSETNX', made, mark, id)
        end
    end
end
return added
