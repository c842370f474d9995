-- flags: allow-oom
-- Note that a worker's parent lives. ARGV: worker, seconds after which a quarantine for failed jobs is lifted (0: never).
-- Returns 1, or 0 if it is not registered.
return beat(ARGV[1], tonumber(ARGV[2]) * 1000, 0) and 1 or 0
