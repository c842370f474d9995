-- Webhooks: keys, who sends, and what is kept of messages that have ended.
--   hooks            set of ids                    hook:ID       hash: config, and how its receiver does
--   hook_due:ID      messages to send, by time     hook_kept:ID  those that ended, by time
--   notice:ID:MSG    hash: one message             hook_log      stream of attempts
--   hook_cursor      last event that was turned into messages
--   hook_sender      hash: holder, until, token of the one who sends

local NOTICES_KEPT = 1000 -- of each webhook, for redelivery: about 1 MB
local LOG_KEPT = 5000

local function hook_key(id) return P .. 'hook:' .. id end
local function due_key(id) return P .. 'hook_due:' .. id end
local function kept_key(id) return P .. 'hook_kept:' .. id end
local function notice_key(id, message) return P .. 'notice:' .. id .. ':' .. message end

-- Whether a token is that of the one who sends now: one that was too slow may no longer write.
local function is_sender(token)
    local v = redis.call('HMGET', HOOK_SENDER, 'token', 'until')
    return v[1] == token and tonumber(v[2]) > now
end

local function keep_notice(id, message)
    redis.call('ZREM', due_key(id), message)
    redis.call('ZADD', kept_key(id), now, message)
    local over = redis.call('ZCARD', kept_key(id)) - NOTICES_KEPT
    if over <= 0 then return end
    local old = redis.call('ZPOPMIN', kept_key(id), over)
    for i = 1, #old, 2 do redis.call('DEL', notice_key(id, old[i])) end
end
