-- ARGV: the delivery's id, why it failed, when it is due again (or '').
local id, why, again_at = ARGV[1], ARGV[2], ARGV[3]
local key = jobs_key('delivery', id)
local delivery = redis.call('HMGET', key, 'host', 'job', 'dead', 'created_at')
local host, job = delivery[1], delivery[2]
if not host or delivery[3] == '1' then return end
redis.call('HINCRBY', key, 'attempts', 1)
redis.call('HSET', key, 'last_error', why)
redis.call('ZREM', jobs_key('leased', host), id)
if again_at ~= '' then
  redis.call('HSET', key, 'due_at', again_at)
  redis.call('ZADD', jobs_key('telling', host), again_at, id)
else
  redis.call('HSET', key, 'dead', 1)
  redis.call('ZREM', jobs_key('telling', host), id)
  redis.call('ZADD', KEYS[1] .. 'undeliverable', delivery[4], id)
  redis.call('SADD', jobs_key('undelivered', job), id)
  redis.call('HINCRBY', jobs_key('job', job), 'telling', -1)
  rest(job)
end
look_again(host)
