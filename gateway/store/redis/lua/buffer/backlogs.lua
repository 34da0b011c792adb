#!lua flags=allow-oom
-- Returns, for each lane that holds photos: the lane, how many photos, when the first was put, when
-- the first waits no longer for company, and for how many a client waits.
require 'shared/lanes'

local lanes = {}
for _, lane in ipairs(redis.call('SMEMBERS', KEY_LANES)) do
  local oldest = redis.call('ZRANGE', KEY_ARRIVALS .. lane, 0, 0, 'WITHSCORES')
  local first_due = redis.call('ZRANGE', KEY_DUE_TIMES .. lane, 0, 0, 'WITHSCORES')
  local urgent = redis.call('ZCARD', queue_key(PRIORITIES[1], lane))
  lanes[#lanes + 1] = {lane, lane_size(lane), oldest[2], first_due[2], urgent}
end
return lanes
