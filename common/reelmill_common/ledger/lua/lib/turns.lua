-- Whose turn it is: what all parents could do at each tick, and one of them has to. The server remembers the last turn, in
-- no key: one that was started anew gives a turn too early, which costs a look.

local turns = {} -- by farm and name

-- Take a turn unless another caller took it less than so many milliseconds ago.
local function take_turn(name, apart_ms)
    local last = turns[P .. name]
    if last and last <= now and now - last < apart_ms then return false end
    turns[P .. name] = now
    return true
end
