-- Note until when a worker may work by its own window: it rests outside of it, and once a clip would not end inside.
-- ARGV: worker, milliseconds at which its window closes (0: it is closed), or '' if it never does; the window.
-- Returns its state, or false if it is not registered.
local worker = ARGV[1]
local v = redis.call('HMGET', worker_key(worker), 'lane', 'state')
if not v[1] then return false end
local work = true
redis.call('HSET', worker_key(worker), 'window', ARGV[3])
if ARGV[2] == '' then
    redis.call('HDEL', worker_key(worker), 'until')
else
    redis.call('HSET', worker_key(worker), 'until', ARGV[2])
    work = surely_done(worker, v[1]) <= tonumber(ARGV[2])
end
if v[2] == 'ready' and not work then
    rest(worker, v[1])
    return 'resting'
end
if v[2] == 'resting' and work then
    set_worker(worker, v[1], 'ready')
    emit('worker.woke', '', '', worker)
    return 'ready'
end
return v[2]
