-- This replica lives. Where no replica could say so for a while, Redis was away itself: then all leases last longer.
-- Returns whether it was known, the photos of dead replicas that are gone, and Redis' time.
local AWAY_S = 3
local CLAIM_LOST_S = 5  -- longer than any reply is waited for
local time = now()
local last = tonumber(redis.call('GET', P .. 'beat') or time)
if time - last > AWAY_S then
  for _, other in ipairs(redis.call('ZRANGE', P .. 'alive', 0, -1)) do
    redis.call('ZINCRBY', P .. 'alive', time - last, other)
  end
end
redis.call('SET', P .. 'beat', string.format('%.6f', time))
local known = lives(replica)
redis.call('ZADD', P .. 'alive', time + lease, replica)
local left = {}
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', P .. 'alive', '-inf', time)) do
  for _, id in ipairs(reclaim(dead)) do left[#left + 1] = id end
end
-- Photos that it claimed and does not know of, for the reply was lost, go to whoever claims next.
local knows = {}
for i = 7, #ARGV do knows[ARGV[i]] = true end
for _, id in ipairs(redis.call('SMEMBERS', P .. 'held:' .. replica)) do
  local e = not knows[id] and read(id)
  if e and time - tonumber(e.claimed_at) > CLAIM_LOST_S then take_back(id, e) end
end
return {known and 1 or 0, left, string.format('%.6f', time)}
