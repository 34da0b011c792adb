-- ARGV: the delivery's id.
local id = ARGV[1]
local key = jobs_key('delivery', id)
local delivery = redis.call('HMGET', key, 'host', 'job', 'dead')
local host, job = delivery[1], delivery[2]
if not host then return end
redis.call('DEL', key)
if delivery[3] == '1' then
  redis.call('ZREM', KEYS[1] .. 'undeliverable', id)
  redis.call('SREM', jobs_key('undelivered', job), id)
else
  redis.call('ZREM', jobs_key('telling', host), id)
  redis.call('ZREM', jobs_key('leased', host), id)
  look_again(host)
  redis.call('HINCRBY', jobs_key('job', job), 'telling', -1)
  rest(job)
end
