-- flags: no-writes
-- Read how many clips were stored and jobs failed in the last hour; changes nothing. Returns {clips, jobs, milliseconds from
-- the first claim or end of them up to now}.
local stored, failed, since = rates_of(P .. 'rates', SPAN_MS)
return {stored, failed, since == '' and 0 or math.max(0, now - since)}
