-- Record an attempt. ARGV: token, webhook, message, 'sent', 'retry' or 'failed', milliseconds until the next attempt,
-- status, detail, milliseconds that it took, milliseconds of failure after which a webhook is disabled, '1' if its
-- receiver is gone for good. Returns 1, or 0 if another one sends by now or the message is no more.
local id, message, outcome = ARGV[2], ARGV[3], ARGV[4]
if not is_sender(ARGV[1]) or redis.call('EXISTS', notice_key(id, message)) == 0 then return 0 end
local attempt = redis.call('HINCRBY', notice_key(id, message), 'n', 1)
redis.call('XADD', HOOK_LOG, 'MAXLEN', '~', LOG_KEPT, '*', 'hook', id, 'message', message,
    'type', redis.call('HGET', notice_key(id, message), 'type'), 'outcome', outcome, 'attempt', attempt,
    'status', ARGV[6], 'detail', ARGV[7], 'ms', ARGV[8])
if outcome == 'sent' then
    redis.call('HDEL', hook_key(id), 'failing', 'rest')
    keep_notice(id, message)
    return 1
end
redis.call('HSETNX', hook_key(id), 'failing', now)
if outcome == 'retry' then
    redis.call('ZADD', due_key(id), now + ARGV[5], message)
    -- The others of this webhook wait a little as well: a receiver that is down is not asked once for each message.
    redis.call('HSET', hook_key(id), 'rest', now + math.min(ARGV[5], 60000))
else
    keep_notice(id, message)
end
if ARGV[10] == '1' or now - redis.call('HGET', hook_key(id), 'failing') >= tonumber(ARGV[9]) then
    local why = ARGV[7]
    if ARGV[6] ~= '' then why = 'it answered ' .. ARGV[6] end -- not its text: this goes to other receivers
    redis.call('HSET', hook_key(id), 'disabled', why)
    emit('webhook.disabled', '', '', '', 'webhook', id, 'reason', why)
end
return 1
