-- ARGV: the time, until when they are leased, how many at most, then fields. Returns these of each delivery, the earliest
-- first. The hosts that come first are enough: each has one at least.
local now, until_, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local due = {}
for _, host in ipairs(redis.call('ZRANGE', KEYS[1] .. 'full', '-inf', now, 'BYSCORE')) do
  redis.call('ZREMRANGEBYSCORE', jobs_key('leased', host), '-inf', now)
  look_again(host)
end
for _, host in ipairs(redis.call('ZRANGE', KEYS[1] .. 'hosts', '-inf', now, 'BYSCORE', 'LIMIT', 0, most)) do
  redis.call('ZREMRANGEBYSCORE', jobs_key('leased', host), '-inf', now)
  local free = PER_HOST - redis.call('ZCARD', jobs_key('leased', host))
  local first = redis.call('ZRANGE', jobs_key('telling', host), '-inf', now, 'BYSCORE', 'LIMIT', 0, free, 'WITHSCORES')
  for i = 1, #first, 2 do due[#due + 1] = {id = first[i], at = tonumber(first[i + 1]), host = host} end
  look_again(host)
end
table.sort(due, function(a, b) return a.at < b.at or a.at == b.at and a.id < b.id end)

local rows = {}
for i = 1, math.min(most, #due) do
  local id, host = due[i].id, due[i].host
  redis.call('ZADD', jobs_key('telling', host), until_, id)
  redis.call('ZADD', jobs_key('leased', host), until_, id)
  look_again(host)
  rows[i] = redis.call('HMGET', jobs_key('delivery', id), unpack(ARGV, 4))
end
return rows
