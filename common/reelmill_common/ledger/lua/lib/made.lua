-- Which job has the clip of a spec: job ids by the beginning of the SHA-1 of the spec's text. A reader compares
-- the specs themselves. Parted into 4,096 small hashes, which Redis packs: 45 bytes a clip instead of 95.

-- Return the hash of a spec's mark, and the mark's place in it.
local function made_place(id)
    local mark = redis.sha1hex(redis.call('GET', spec_key(id)) or id) -- no spec is like it
    return P .. 'made:' .. string.sub(mark, 1, 3), string.sub(mark, 4, 16)
end
