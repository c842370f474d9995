-- What clips cost, counted for each batch (fields `cost:*` of its hash) and for each owner by UTC day (fields `DAY:*` of a
-- hash of its own, which outlives the batches):
--   clips, bytes, gpu (ms), energy (mJ) and metered (those whose energy is known) of clips that were stored
--   reused       clips that were there already
--   waste (ms), waste_energy (mJ)   of attempts that made no clip

local DAY_MS = 86400000

local function account_key(owner) return P .. 'account:' .. owner end

-- `counts` is a list of name, number; what is '' is not known, and counts as nothing.
local function charge(batch, counts)
    local key = batch_key(batch)
    ensure_batch(batch)
    local account = account_key(redis.call('HGET', key, 'owner'))
    local day = math.floor(now / DAY_MS) .. ':'
    for i = 1, #counts, 2 do
        local name, number = counts[i], counts[i + 1] or ''
        if number ~= '' and number ~= '0' then
            redis.call('HINCRBY', key, 'cost:' .. name, number)
            redis.call('HINCRBY', account, day .. name, number)
        end
    end
end
