-- The lanes in which photos wait. Tenants take turns by start-time fair queueing, as
-- memory/fair_queue.py describes it. The hash under KEY_FAIR_QUEUEING exists while the lane holds
-- photos. It holds the virtual time of each priority under that priority, the last tag of each
-- tenant under PRIORITY@TENANT, and the number of photos so far under '#'.

local function queue_key(priority, lane) return KEY_QUEUE .. priority .. ':' .. lane end

local function lane_size(lane) return redis.call('ZCARD', KEY_ARRIVALS .. lane) end

-- Puts a photo into the lane of its entry.
local function enqueue(id, entry)
  local fair_key, tenant_field = KEY_FAIR_QUEUEING .. entry.lane, entry.kind .. '@' .. entry.tenant
  local virtual_time = tonumber(redis.call('HGET', fair_key, entry.kind) or '0')
  local last_tag = tonumber(redis.call('HGET', fair_key, tenant_field) or '0')
  local tag = math.max(virtual_time, last_tag) + 1
  redis.call('HSET', fair_key, tenant_field, tag)
  -- Photos with equal tags (of several tenants) go in the order of arrival: a fraction of the tag
  -- breaks the tie.
  local arrival = redis.call('HINCRBY', fair_key, '#', 1)
  redis.call('ZADD', queue_key(entry.kind, entry.lane), tag + (arrival % 1000000) / 10000000, id)
  redis.call('ZADD', KEY_ARRIVALS .. entry.lane, entry.put_at, id)
  redis.call('ZADD', KEY_DUE_TIMES .. entry.lane, entry.due_at, id)
  redis.call('SADD', KEY_LANES, entry.lane)
end

-- Takes a photo out of a lane. Does nothing if it does not wait there.
local function dequeue(id, lane)
  if redis.call('ZREM', KEY_ARRIVALS .. lane, id) == 0 then return end
  redis.call('ZREM', KEY_DUE_TIMES .. lane, id)
  for _, priority in ipairs(PRIORITIES) do redis.call('ZREM', queue_key(priority, lane), id) end
  if lane_size(lane) == 0 then
    redis.call('SREM', KEY_LANES, lane)
    redis.call('DEL', KEY_FAIR_QUEUEING .. lane)
  end
end

-- Wakes every replica if a lane has got its first photo or another full grid since it had
-- `size_before` photos.
local function wake_replicas(lane, cells, size_before)
  local size = lane_size(lane)
  if size_before == 0 or math.floor(size / cells) > math.floor(size_before / cells) then
    redis.call('PUBLISH', KEY_BELL, '1')
  end
end
