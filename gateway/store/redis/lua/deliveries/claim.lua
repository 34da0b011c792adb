#!lua flags=allow-oom
-- Leases due deliveries, at most PER_HOST of one host.
-- ARGV: the time, the end of the lease, how many deliveries at most, then the fields.
-- Returns the fields of each delivery, the earliest first.
require 'shared/deliveries'

local now, lease_end, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
for _, host in ipairs(redis.call('ZRANGE', KEY_BUSY_HOSTS, '-inf', now, 'BYSCORE')) do
  redis.call('ZREMRANGEBYSCORE', KEY_HOST_LEASES .. host, '-inf', now)
  reschedule_host(host)
end

local due = {}
-- As many hosts as deliveries are enough: each of the hosts has one delivery at least.
for _, host in ipairs(redis.call('ZRANGE', KEY_HOSTS, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)) do
  local leases, deliveries = KEY_HOST_LEASES .. host, KEY_HOST_DELIVERIES .. host
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  local free = PER_HOST - redis.call('ZCARD', leases)
  local first = redis.call('ZRANGE', deliveries, '-inf', now, 'BYSCORE', 'LIMIT', 0, free,
                           'WITHSCORES')
  for i = 1, #first, 2 do
    due[#due + 1] = {id = first[i], at = tonumber(first[i + 1]), host = host}
  end
  reschedule_host(host)
end
table.sort(due, function(a, b) return a.at < b.at or a.at == b.at and a.id < b.id end)

local rows = {}
for i = 1, math.min(most, #due) do
  local id, host = due[i].id, due[i].host
  redis.call('ZADD', KEY_HOST_DELIVERIES .. host, lease_end, id)
  redis.call('ZADD', KEY_HOST_LEASES .. host, lease_end, id)
  reschedule_host(host)
  rows[i] = redis.call('HMGET', KEY_DELIVERY .. id, unpack(ARGV, 4))
end
return rows
