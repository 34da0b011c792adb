#!lua flags=allow-oom
-- Claims one canvas's photos of a lane: a full grid or, if a photo is out of time, all that there
-- are. For company on the canvas of another lane it claims the photos whose clients wait, as far as
-- there are any.
-- ARGV: the replica, the lane, how many photos at most, the time, 1 for company or else 0.
-- Returns id, turn, packed entry and number of bytes of each photo, those whose clients wait first;
-- UNREGISTERED if the replica is not registered, for its photos could not be given back.
require 'shared/entries'
require 'shared/lanes'
require 'shared/replicas'
require 'shared/time'

local replica, lane, most, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local is_company = ARGV[5] == '1'
if not is_registered(replica) then return UNREGISTERED end
local size = lane_size(lane)
if size == 0 then return {} end
if size < most and not is_company then
  local first_due = redis.call('ZRANGE', KEY_DUE_TIMES .. lane, 0, 0, 'WITHSCORES')
  if tonumber(first_due[2]) > now then return {} end
end

local ids = {}
for i = 1, is_company and 1 or #PRIORITIES do
  local count = most - #ids
  if count > 0 then
    local first = redis.call('ZRANGE', queue_key(PRIORITIES[i], lane), 0, count - 1, 'WITHSCORES')
    for j = 1, #first, 2 do
      ids[#ids + 1] = first[j]
      local tag = math.floor(tonumber(first[j + 1]))
      redis.call('HSET', KEY_FAIR_QUEUEING .. lane, PRIORITIES[i], tag)
    end
  end
end

local claimed = {}
for _, id in ipairs(ids) do
  dequeue(id, lane)
  local key = entry_key(id)
  redis.call('HINCRBY', key, ENTRY_TRIES, 1)
  redis.call('HSET', key, ENTRY_HOLDER, replica, ENTRY_CLAIMED_AT, redis_time())
  redis.call('SADD', KEY_CLAIMS .. replica, id)
  local turn = redis.call('HINCRBY', key, ENTRY_TURN, 1)
  claimed[#claimed + 1] = {id, turn, unpack(redis.call('HMGET', key, ENTRY_META, ENTRY_BYTES))}
end
return claimed
