-- flags: allow-oom
-- Do what a worker's parent does at each tick, in one call: note that it lives, say how the worker stands, and whether it is
-- its turn to do what one parent of the farm, and one of each profile, has to do now.
-- ARGV: worker, seconds after which a quarantine for failed jobs is lifted (0: never), seconds without a beat after which a
-- worker counts as dead, seconds between two turns.
-- Returns false if the worker is not registered, else {milliseconds now, state, why it is quarantined, '1' if it may return,
-- leases that it holds, workers that beat, jobs of the farm that are dispatched, 1 if it is its turn for the farm, 1 for its
-- profile, 1 if a report is due, 1 if nobody sends to webhooks}; the last two are 0 where it is not its turn for the farm.
local worker, live_ms, apart_ms = ARGV[1], ARGV[3] * 1000, ARGV[4] * 1000
local profile = beat(worker, tonumber(ARGV[2]) * 1000, BEAT_SHARE * live_ms)
if not profile then return false end
local v = redis.call('HMGET', worker_key(worker), 'state', 'reason', 'may_return')
local held, live, sent = redis.call('SCARD', held_key(worker)), redis.call('ZCARD', BEATS), redis.call('ZCARD', SENT)
local for_farm, for_profile = take_turn('farm', apart_ms), take_turn('profile:' .. profile, apart_ms)
local report, sender = false, false
if for_farm then
    report = redis.call('ZCOUNT', P .. 'unreported', '-inf', now) > 0
    sender = tonumber(redis.call('HGET', HOOK_SENDER, 'until') or 0) <= now
end
return {now, v[1], v[2] or '', v[3] or '', held, live, sent, for_farm and 1 or 0, for_profile and 1 or 0, report and 1 or 0,
    sender and 1 or 0}
