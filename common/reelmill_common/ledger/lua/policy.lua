-- Change some of a batch's policy. What was dispatched goes back in line, so that it acts on the next clip that starts.
-- ARGV: batch, changes as JSON: any of weight, cap, max_failures, start, expires, finish_by, and after with after_any.
-- Returns 1, 0 if there is no such batch, {'unknown', name} or {'cycle', name} if it cannot wait for that one.
local batch, changes = ARGV[1], cjson.decode(ARGV[2])
local key = batch_key(batch)
if redis.call('EXISTS', key) == 0 then return 0 end

local changed = {}
for name, value in pairs(changes) do
    if (redis.call('HGET', key, name) or '') ~= value then changed[#changed + 1] = name end
end
if #changed == 0 then return 1 end
table.sort(changed)

if changes.after then
    local all = changes.after .. ',' .. changes.after_any
    local unknown = unknown_of(all)
    if unknown then return {'unknown', unknown} end
    for name in string.gmatch(all, '[^,]+') do
        if waits_for(name, batch, {}) then return {'cycle', name} end
    end
    set_after(batch, changes.after, changes.after_any)
end
for _, name in ipairs({'weight', 'cap', 'max_failures', 'finish_by'}) do
    if changes[name] then redis.call('HSET', key, name, changes[name]) end
end
if changes.start then set_start(batch, changes.start) end
if changes.expires then set_expiry(batch, changes.expires) end
if #changed > 1 or changed[1] ~= 'finish_by' then -- a deadline alone changes no order
    take_back_sent(batch, 'policy')
    reindex(batch)
end
emit('batch.policy_set', batch, '', '', 'changed', table.concat(changed, ','))
return 1
