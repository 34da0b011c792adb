#!lua flags=allow-oom
-- Forgets a delivery that was made.
-- ARGV: the delivery's id.
require 'shared/deliveries'

local id = ARGV[1]
local key = KEY_DELIVERY .. id
local delivery = redis.call('HMGET', key, DELIVERY_HOST, DELIVERY_JOB, DELIVERY_DEAD)
local host, job, is_dead = delivery[1], delivery[2], delivery[3] == '1'
if not host then return end
redis.call('DEL', key)
if is_dead then
  redis.call('ZREM', KEY_DEAD_DELIVERIES, id)
  redis.call('SREM', KEY_DEAD_DELIVERIES_OF_JOB .. job, id)
else
  redis.call('ZREM', KEY_HOST_DELIVERIES .. host, id)
  redis.call('ZREM', KEY_HOST_LEASES .. host, id)
  reschedule_host(host)
  redis.call('HINCRBY', KEY_JOB .. job, JOB_TELLING, -1)
  reschedule_forgetting(job)
end
