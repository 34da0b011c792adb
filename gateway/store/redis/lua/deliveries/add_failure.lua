#!lua flags=allow-oom
-- Notes that an attempt failed. Does nothing for a delivery that is dead or was made.
-- ARGV: the delivery's id, the error, when the delivery is due again, or '' if it is dead.
require 'shared/deliveries'

local id, last_error, due_at = ARGV[1], ARGV[2], ARGV[3]
local key = KEY_DELIVERY .. id
local delivery = redis.call('HMGET', key, DELIVERY_HOST, DELIVERY_JOB, DELIVERY_DEAD,
                            DELIVERY_CREATED_AT)
local host, job, is_dead, created_at = delivery[1], delivery[2], delivery[3] == '1', delivery[4]
if not host or is_dead then return end
redis.call('HINCRBY', key, DELIVERY_ATTEMPTS, 1)
redis.call('HSET', key, DELIVERY_LAST_ERROR, last_error)
redis.call('ZREM', KEY_HOST_LEASES .. host, id)
if due_at ~= '' then
  redis.call('HSET', key, DELIVERY_DUE_AT, due_at)
  redis.call('ZADD', KEY_HOST_DELIVERIES .. host, due_at, id)
else
  redis.call('HSET', key, DELIVERY_DEAD, 1)
  redis.call('ZREM', KEY_HOST_DELIVERIES .. host, id)
  redis.call('ZADD', KEY_DEAD_DELIVERIES, created_at, id)
  redis.call('SADD', KEY_DEAD_DELIVERIES_OF_JOB .. job, id)
  redis.call('HINCRBY', KEY_JOB .. job, JOB_TELLING, -1)
  reschedule_forgetting(job)
end
reschedule_host(host)
