-- Takes over from a replica that died. Photos whose clients waited there leave, for nobody waits
-- for them any more; photos that it claimed wait again, or become dead letters.
-- ARGV: the replica that runs this, 1 if photos fail whose call may be billed, the outcomes of dead
-- letters and of photos whose call may be billed.
require 'shared/ledger'
require 'shared/meters'
require 'shared/removal'

local replica, fails_unsure = ARGV[1], ARGV[2] == '1'
local dead_letter_outcome, unsure_outcome = ARGV[3], ARGV[4]

local function fail(id, entry, outcome)
  deliver_outcome(id, entry, outcome, 1, 0)
  remove_entry(id, entry)
  charge(account_of(entry), {photos = photo_count(entry)})
end

-- Lists a dead letter: the fields are those of DeadPhoto.
local function list_dead_letter(id, entry)
  local letter = {photo = id, tenant = entry.tenant, lane = entry.lane, job = entry.job,
                  at = redis_time(), claims = tonumber(entry.tries)}
  redis.call('LPUSH', KEY_DEAD_LETTERS, cjson.encode(letter))
  redis.call('LTRIM', KEY_DEAD_LETTERS, 0, DEAD_LETTERS_KEPT - 1)
end

-- Gives a claimed photo back to a lane.
local function give_back(id, entry)
  local key = entry_key(id)
  if tonumber(entry.tries) >= CLAIMS_TOGETHER then entry.lane = entry.alone end
  redis.call('SREM', KEY_CLAIMS .. entry.holder, id)
  redis.call('HSET', key, ENTRY_LANE, entry.lane, ENTRY_HOLDER, '', ENTRY_ASKED, '')
  redis.call('HINCRBY', key, ENTRY_TURN, 1)
  enqueue(id, entry)
end

-- Charges the calls that were under way when a replica died as calls that may be billed. They are
-- remembered in case the replica is alive and reports their end.
local function charge_open_calls(dead_replica)
  local key = KEY_CALLS .. dead_replica
  local calls = redis.call('HGETALL', key)
  for i = 1, #calls, 2 do
    local canvas, shares = calls[i], calls[i + 1]
    for account, share in pairs(cjson.decode(shares)) do charge(account, {unknown = share}) end
    redis.call('HSET', KEY_UNSURE_CALLS, canvas, shares)
    redis.call('EXPIRE', KEY_UNSURE_CALLS, UNSURE_S)
  end
  redis.call('DEL', key)
end

-- Returns whether a call may be billed whose replica has died.
local function is_unsure(canvas)
  return canvas ~= '' and redis.call('HEXISTS', KEY_UNSURE_CALLS, canvas) == 1
end

-- Returns the ids of photos that left the buffer. Handles RECLAIMED_AT_ONCE photos of each kind;
-- the replica stays on the list of the dead while some are left.
local function reclaim(dead_replica)
  charge_open_calls(dead_replica)
  for _, hold in ipairs(redis.call('HKEYS', KEY_HOLDS .. dead_replica)) do
    release_hold(dead_replica, hold)
  end
  local client_photos, claims = KEY_CLIENT_PHOTOS .. dead_replica, KEY_CLAIMS .. dead_replica
  local removed = redis.call('SRANDMEMBER', client_photos, RECLAIMED_AT_ONCE)
  for _, id in ipairs(removed) do
    local entry = read_entry(id)
    if entry then remove_entry(id, entry) end
    redis.call('SREM', client_photos, id)
  end
  for _, id in ipairs(redis.call('SRANDMEMBER', claims, RECLAIMED_AT_ONCE)) do
    local entry = read_entry(id)
    if entry and fails_unsure and is_unsure(entry.asked) then
      fail(id, entry, unsure_outcome)
      removed[#removed + 1] = id
    elseif entry and tonumber(entry.tries) >= MOST_CLAIMS then
      list_dead_letter(id, entry)
      fail(id, entry, dead_letter_outcome)
      removed[#removed + 1] = id
    elseif entry then
      give_back(id, entry)
    end
    redis.call('SREM', claims, id)
  end
  if redis.call('EXISTS', client_photos, claims) == 0 then
    redis.call('DEL', KEY_INBOX .. dead_replica)
    redis.call('EXPIRE', KEY_COMMITS .. dead_replica, COMMITS_KEPT_S)
    redis.call('ZREM', KEY_ALIVE, dead_replica)
  else
    -- A replica that is alive after all learns of its loss by this.
    redis.call('ZADD', KEY_ALIVE, '-inf', dead_replica)
  end
  redis.call('PUBLISH', KEY_BELL, '1')
  return removed
end
