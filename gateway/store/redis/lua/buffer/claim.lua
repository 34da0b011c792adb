-- ARGV: replica, lane, how many, the time, '' or 'company'. Takes so many or, where a photo is out of time, what there is; for
-- company what there is of those whose clients wait.
-- Returns id, turn, entry and bytes (how many) of each, those whose clients wait first; or 'unknown' where the replica has not said that
-- it lives, for what it took could not be taken back.
local replica, lane, most, company = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5] == 'company'
if not lives(replica) then return 'unknown' end
local count = lane_count(lane)
if count == 0 then return {} end
if count < most and not company then
  local due = redis.call('ZRANGE', P .. 'due:' .. lane, 0, 0, 'WITHSCORES')
  if tonumber(due[2]) > tonumber(ARGV[4]) then return {} end
end

local taken = {}
for _, kind in ipairs(company and {'0'} or {'0', '1'}) do
  local need = most - #taken
  if need > 0 then
    local first = redis.call('ZRANGE', queue_key(kind, lane), 0, need - 1, 'WITHSCORES')
    for i = 1, #first, 2 do
      taken[#taken + 1] = first[i]
      redis.call('HSET', P .. 'fair:' .. lane, kind, math.floor(tonumber(first[i + 1])))
    end
  end
end

local out = {}
for _, id in ipairs(taken) do
  unwait(id, lane)
  local key = entry_key(id)
  redis.call('HINCRBY', key, 'tries', 1)
  redis.call('HSET', key, 'holder', replica, 'claimed_at', now())
  redis.call('SADD', P .. 'held:' .. replica, id)
  out[#out + 1] = {id, redis.call('HINCRBY', key, 'turn', 1), unpack(redis.call('HMGET', key, 'meta', 'bytes'))}
end
return out
