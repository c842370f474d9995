-- Add a chunk of jobs to a batch, making the batch if it is new. All of the chunk or, on a conflict, nothing.
-- ARGV: batch, priority, weight, cap, owner, window or '', more policy as JSON (see lib/policy), then id, row, lane, spec
-- and metadata as JSON or '' for each job (at most 1,000: Lua's stack). Metadata replaces that of a job that is there.
-- Returns {number added, number that was there}, {'conflict', id, row, spec that is there} or
-- {'unknown', a batch that it should wait for}.
local batch = ARGV[1]
local fresh, given, same, with_metadata = {}, {}, 0, {}
for i = 8, #ARGV, 5 do
    local id, spec = ARGV[i], ARGV[i + 3]
    local known = given[id] or redis.call('GET', spec_key(id))
    local is_there = redis.call('EXISTS', job_key(id)) == 1
    if not known and is_there then -- its spec was missing: this is it
        redis.call('SET', spec_key(id), spec)
        known = spec
    elseif known == spec and not is_there and not given[id] then
        redis.call('LREM', order_key(batch), 0, id)
        known = nil
    end
    if not known then
        given[id] = spec
        fresh[#fresh + 1] = i
    elseif known == spec then
        same = same + 1
        if ARGV[i + 4] ~= '' and not given[id] then with_metadata[#with_metadata + 1] = i end
    else
        return {'conflict', id, ARGV[i + 1], known}
    end
end
for _, i in ipairs(with_metadata) do redis.call('SET', meta_key(ARGV[i]), ARGV[i + 4]) end
if #fresh == 0 then
    if same > 0 then ensure_batch(batch) end
    return {0, same}
end

local key = batch_key(batch)
local is_new, more = redis.call('EXISTS', key) == 0, nil
if is_new then
    more = cjson.decode(ARGV[7])
    local unknown = unknown_of(more.after .. ',' .. more.after_any)
    if unknown then return {'unknown', unknown} end
    redis.call('HSET', key, 'created', now)
    redis.call('HSET', key, 'priority', ARGV[2], 'weight', ARGV[3], 'cap', ARGV[4], 'owner', ARGV[5], 'paused', 0,
        'lanes', '', 'q', 0, 'd', 0, 'r', 0, 'x', 0, 's', 0, 'f', 0, 'c', 0)
    redis.call('ZADD', P .. 'batches', now, batch)
    redis.call('SADD', OWNERS, ARGV[5])
    if (more.source or '') ~= '' then redis.call('HSET', key, 'source', more.source) end
    if (more.class or '') ~= '' then redis.call('HSET', key, 'class', more.class) end
    if more.max_failures ~= '' then redis.call('HSET', key, 'max_failures', more.max_failures) end
    if more.start ~= '' then set_start(batch, more.start) end
    if more.expires ~= '' then set_expiry(batch, more.expires) end
    if (more.finish_by or '') ~= '' then redis.call('HSET', key, 'finish_by', more.finish_by) end
    if ARGV[6] ~= '' then -- closed until `update_window`, which is due at once, says otherwise
        redis.call('HSET', key, 'window', ARGV[6], 'shut', 1)
        redis.call('ZADD', P .. 'windows', 0, batch)
    end
end

local class = redis.call('HGET', key, 'class') or ''
local order = redis.call('HINCRBY', key, 'n', #fresh) - #fresh
-- A row that was pruned goes on counting attempts: its clip may still lie under the number of an earlier one.
local prior = redis.call('HGET', PRIOR_ATTEMPTS, batch)
local ids, waiting = {}, {}
for position, i in ipairs(fresh) do
    local id, row, lane, spec = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    if class ~= '' and lane == profile_of(lane) then lane = lane .. '@' .. class end -- a job's own class goes first
    redis.call('HSET', job_key(id), 's', 'q', 'b', batch, 'r', row, 'l', lane, 'n', order + position, 'g', 1, 't0', now)
    if prior then redis.call('HSET', job_key(id), 'a', prior, 'u', prior) end
    redis.call('SET', spec_key(id), spec)
    if ARGV[i + 4] ~= '' then redis.call('SET', meta_key(id), ARGV[i + 4]) end
    ids[position] = id
    local line = waiting[lane] or {}
    line[#line + 1] = order + position
    line[#line + 1] = id
    waiting[lane] = line
end
redis.call('RPUSH', order_key(batch), unpack(ids))
local lanes = redis.call('HGET', key, 'lanes')
for lane, line in pairs(waiting) do
    redis.call('ZADD', waiting_key(batch, lane), unpack(line))
    if not string.find(',' .. lanes .. ',', ',' .. lane .. ',', 1, true) then
        lanes = lanes == '' and lane or (lanes .. ',' .. lane)
    end
end
redis.call('HSET', key, 'lanes', lanes)
redis.call('HINCRBY', key, 'q', #fresh)
if redis.call('HDEL', key, 'done') == 1 then settle_dependants(batch) end
if is_new and more.after .. more.after_any ~= '' then set_after(batch, more.after, more.after_any) else reindex(batch) end
emit('batch.submitted', batch, '', '', 'count', #fresh)
return {#fresh, same}
