-- flags: no-writes
-- Read workers as far as a forecast counts on them; changes nothing. ARGV: their names.
-- Returns {name, lanes by commas, state, milliseconds since it was seen, window} for each.
local workers = {}
for _, worker in ipairs(ARGV) do
    local profile, state, seen, window, lanes = unpack(
        redis.call('HMGET', worker_key(worker), 'lane', 'state', 'seen', 'window', 'lanes'))
    if profile and seen then
        workers[#workers + 1] = {worker, lanes or profile, state, math.max(0, now - seen), window or ''}
    end
end
return workers
