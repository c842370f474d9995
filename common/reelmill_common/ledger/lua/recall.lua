-- flags: allow-oom
-- Go on with taking back what batches had dispatched: one step of the order that is longest under way. Returns how many
-- batches have such an order, or 0 if that was the last step.
local batch = redis.call('ZRANGE', P .. 'recalls', 0, 0)[1]
if batch then recall_some(batch) end
return redis.call('ZCARD', P .. 'recalls')
