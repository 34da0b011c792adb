-- Returns, for each lane that holds photos: lane, how many, when the first came, when one is out of time, whether a
-- client waits for one.
local lanes = {}
for _, lane in ipairs(redis.call('SMEMBERS', P .. 'lanes')) do
  local oldest = redis.call('ZRANGE', P .. 'came:' .. lane, 0, 0, 'WITHSCORES')
  local due = redis.call('ZRANGE', P .. 'due:' .. lane, 0, 0, 'WITHSCORES')
  lanes[#lanes + 1] = {lane, lane_count(lane), oldest[2], due[2], redis.call('EXISTS', queue_key('0', lane))}
end
return lanes
