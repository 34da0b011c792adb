-- ARGV: the time, how many at most, then the ids of dead deliveries; where none is named, whichever there are. Returns
-- how many are due again.
local now, ids = ARGV[1], {unpack(ARGV, 3)}
if #ids == 0 then ids = redis.call('ZRANGE', KEYS[1] .. 'undeliverable', 0, ARGV[2] - 1) end
local count = 0
for _, id in ipairs(ids) do
  if redis.call('ZREM', KEYS[1] .. 'undeliverable', id) == 1 then
    local key = jobs_key('delivery', id)
    local delivery = redis.call('HMGET', key, 'host', 'job')
    local host, job = delivery[1], delivery[2]
    redis.call('HSET', key, 'dead', 0, 'attempts', 0, 'due_at', now)
    redis.call('SREM', jobs_key('undelivered', job), id)
    redis.call('ZADD', jobs_key('telling', host), now, id)
    redis.call('HINCRBY', jobs_key('job', job), 'telling', 1)
    look_again(host)
    rest(job)
    count = count + 1
  end
end
return count
