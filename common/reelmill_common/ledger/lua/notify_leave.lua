-- flags: allow-oom
-- Stop being the one who sends. ARGV: token. Returns 1, or 0 if another one is by now.
if not is_sender(ARGV[1]) then return 0 end
redis.call('HSET', HOOK_SENDER, 'until', 0)
return 1
