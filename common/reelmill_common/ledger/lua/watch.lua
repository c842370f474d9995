-- flags: allow-oom
-- Begin or go on to watch: the stream of a batch's events, or that of all stages, is written for so many seconds more.
-- ARGV: batch, or '' for all stages; seconds. Returns the id of the last event that came before the stream began.
local key, stream = watched_key(ARGV[1]), watched_events_key(ARGV[1])
local since = redis.call('GET', key)
if not since then
    since = last_event()
    redis.call('DEL', stream)
end
redis.call('SET', key, since, 'EX', ARGV[2])
redis.call('EXPIRE', stream, WATCHED_S)
return since
