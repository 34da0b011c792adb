-- What belonged to a replica that died: photos whose clients waited there are nobody's now; those it worked on go to
-- others, or to the dead letters.
-- ARGV: replica, lease in seconds, most claims, the rule for what may be billed, the outcomes of dead letters and of
-- what may be billed; then, for a heartbeat, the photos that the replica knows it holds.
local replica, lease, most_claims, rule = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local dead_outcome, unknown_outcome = ARGV[5], ARGV[6]
local DEAD_KEPT = 1000
local UNSURE_S = 3600
local AT_ONCE = 500  -- nobody else is served meanwhile; what is left is for the next heartbeat

local function fail(id, e, outcome)
  deliver(id, e, outcome, 1, 0)
  leave(id, e)
  charge(e.tenant, {photos = counts(e)})
end

local function bury(id, e)
  local letter = {photo = id, tenant = e.tenant, lane = e.lane, job = e.job, at = now(), claims = tonumber(e.tries)}
  redis.call('LPUSH', P .. 'dead', cjson.encode(letter))
  redis.call('LTRIM', P .. 'dead', 0, DEAD_KEPT - 1)
end

local function take_back(id, e)
  local key = entry_key(id)
  if tonumber(e.tries) >= 2 then e.lane = e.alone end  -- whichever photo kills its holders harms no other then
  redis.call('SREM', P .. 'held:' .. e.holder, id)
  redis.call('HSET', key, 'lane', e.lane, 'holder', '', 'asked', '')
  redis.call('HINCRBY', key, 'turn', 1)
  wait(id, e)
end

-- What the replica had asked about when it died may be billed: the ledger says so.
local function asked_by(dead)
  local key = P .. 'asked:' .. dead
  local pairs_ = redis.call('HGETALL', key)
  for i = 1, #pairs_, 2 do
    for tenant, share in pairs(cjson.decode(pairs_[i + 1])) do charge(tenant, {unknown = share}) end
    redis.call('HSET', P .. 'unsure', pairs_[i], pairs_[i + 1])  -- should it be alive, and have an answer
    redis.call('EXPIRE', P .. 'unsure', UNSURE_S)
  end
  redis.call('DEL', key)
end

local function reclaim(dead)
  asked_by(dead)
  local own, held = P .. 'own:' .. dead, P .. 'held:' .. dead
  local left = redis.call('SRANDMEMBER', own, AT_ONCE)
  for _, id in ipairs(left) do
    local e = read(id)
    if e then leave(id, e) end
    redis.call('SREM', own, id)
  end
  for _, id in ipairs(redis.call('SRANDMEMBER', held, AT_ONCE)) do
    local e = read(id)
    if e and e.asked ~= '' and rule == 'fail' and redis.call('HEXISTS', P .. 'unsure', e.asked) == 1 then
      fail(id, e, unknown_outcome)
      left[#left + 1] = id
    elseif e and tonumber(e.tries) >= most_claims then
      bury(id, e)
      fail(id, e, dead_outcome)
      left[#left + 1] = id
    elseif e then
      take_back(id, e)
    end
    redis.call('SREM', held, id)
  end
  if redis.call('EXISTS', own, held) == 0 then
    redis.call('DEL', P .. 'inbox:' .. dead)
    redis.call('ZREM', P .. 'alive', dead)
  else
    redis.call('ZADD', P .. 'alive', '-inf', dead)  -- should it be alive after all, it learns what it lost
  end
  redis.call('PUBLISH', P .. 'bell', '1')
  return left
end
