-- Send to a webhook again that was disabled. ARGV: id. Returns 1, or 0 if there is none.
if redis.call('EXISTS', hook_key(ARGV[1])) == 0 then return 0 end
redis.call('HDEL', hook_key(ARGV[1]), 'disabled', 'failing', 'rest')
return 1
