#!lua flags=allow-oom
-- Registers this replica for another lease, and takes over from replicas whose lease has ended.
-- ARGV: as in shared/reclaim.lua; then the ids of the photos that the replica knows it holds.
-- Returns 1 if the replica was registered before, the ids of photos that left the buffer, the time
-- of Redis, and how many replicas are registered.
require 'shared/reclaim'
require 'shared/replicas'

local now = redis_time()
local last_beat = tonumber(redis.call('GET', KEY_BEAT) or now)
if now - last_beat > OUTAGE_S then
  for _, other in ipairs(redis.call('ZRANGE', KEY_ALIVE, 0, -1)) do
    redis.call('ZINCRBY', KEY_ALIVE, now - last_beat, other)
  end
end
redis.call('SET', KEY_BEAT, time_text(now))
local was_registered = is_registered(replica)
redis.call('ZADD', KEY_ALIVE, now + LEASE_S, replica)

if not was_registered then
  for _, key in ipairs({KEY_EARLIER_COMMITS, KEY_EARLIER_COMMIT_RESULTS}) do
    redis.call('EXPIRE', key, DAY_S)
  end
end

local removed = {}
for _, dead_replica in ipairs(redis.call('ZRANGEBYSCORE', KEY_ALIVE, '-inf', now)) do
  for _, id in ipairs(reclaim(dead_replica)) do removed[#removed + 1] = id end
end

-- An earlier release removes photos without their tenants' parts of the occupancy. Where these come
-- to more than there is, they are counted anew from nothing.
for _, priority in ipairs(PRIORITIES) do
  local tenant_key, sum = KEY_TENANT_OCCUPANCY .. priority, 0
  local fields = redis.call('HGETALL', tenant_key)
  for i = 1, #fields, 2 do
    if string.find(fields[i], MEASURES[1] .. '@', 1, true) == 1 then
      sum = sum + tonumber(fields[i + 1])
    end
  end
  local total = tonumber(redis.call('HGET', KEY_OCCUPANCY .. priority, MEASURES[1]) or '0')
  if sum > total then redis.call('DEL', tenant_key) end
end

-- Claims whose reply was lost are given back.
local known = {}
for i = 5, #ARGV do known[ARGV[i]] = true end
for _, id in ipairs(redis.call('SMEMBERS', KEY_CLAIMS .. replica)) do
  local entry = not known[id] and read_entry(id)
  if entry and now - tonumber(entry.claimed_at) > LOST_CLAIM_S then give_back(id, entry) end
end
return {was_registered and 1 or 0, removed, time_text(now), redis.call('ZCARD', KEY_ALIVE)}
