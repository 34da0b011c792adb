#!lua flags=allow-oom
-- Makes dead deliveries due now.
-- ARGV: the time; how many deliveries at most; the ids of the deliveries, or none for any.
-- Returns how many deliveries are due again.
require 'shared/deliveries'

local now, most, ids = ARGV[1], ARGV[2], {unpack(ARGV, 3)}
if #ids == 0 then ids = redis.call('ZRANGE', KEY_DEAD_DELIVERIES, 0, most - 1) end
local count = 0
for _, id in ipairs(ids) do
  if redis.call('ZREM', KEY_DEAD_DELIVERIES, id) == 1 then
    local key = KEY_DELIVERY .. id
    local delivery = redis.call('HMGET', key, DELIVERY_HOST, DELIVERY_JOB)
    local host, job = delivery[1], delivery[2]
    redis.call('HSET', key, DELIVERY_DEAD, 0, DELIVERY_ATTEMPTS, 0, DELIVERY_DUE_AT, now)
    redis.call('SREM', KEY_DEAD_DELIVERIES_OF_JOB .. job, id)
    redis.call('ZADD', KEY_HOST_DELIVERIES .. host, now, id)
    redis.call('HINCRBY', KEY_JOB .. job, JOB_TELLING, 1)
    reschedule_host(host)
    reschedule_forgetting(job)
    count = count + 1
  end
end
return count
