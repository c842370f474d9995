-- Which job has the clip of a spec: a hash of job ids by the beginning of the SHA-1 of the spec's text. Whoever reads it
-- compares the specs themselves.

local MADE = P .. 'made'

local function spec_mark(id) return string.sub(redis.sha1hex(redis.call('GET', spec_key(id))), 1, 16) end
