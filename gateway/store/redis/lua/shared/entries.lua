-- The photos in the buffer, waiting and claimed.
require 'shared/jobs'
require 'shared/lanes'

local function entry_key(id) return KEY_ENTRY .. id end

-- Returns a photo's entry as a table by ENTRY_FIELDS; nil for a photo that is not in the buffer.
local function read_entry(id)
  local values = redis.call('HMGET', entry_key(id), unpack(ENTRY_FIELDS))
  if not values[1] then return nil end
  local entry = {}
  for i, field in ipairs(ENTRY_FIELDS) do entry[field] = values[i] or '' end
  return entry
end

-- Returns how many photos the entry counts for in its tenant's account: none if it is patient and
-- of no job, for the gateway asks about it for itself.
local function photo_count(entry)
  return (entry.kind == PRIORITIES[1] or entry.job ~= '') and 1 or 0
end

local function add_occupancy(priority, photos, bytes, pixels)
  local key, changes = KEY_OCCUPANCY .. priority, {photos = photos, bytes = bytes, pixels = pixels}
  local left
  for i, measure in ipairs(MEASURES) do
    -- Lua's own -0 is no integer to Redis
    local sum = redis.call('HINCRBY', key, measure, string.format('%d', changes[measure]))
    if i == 1 then left = sum end
  end
  if left == 0 then redis.call('DEL', key) end
end

-- Removes a photo wherever it is. The caller deletes its bytes, which are under a key of their own.
local function remove_entry(id, entry)
  dequeue(id, entry.lane)
  redis.call('DEL', entry_key(id))
  redis.call('SREM', KEY_CLAIMS .. entry.holder, id)
  redis.call('SREM', KEY_CLIENT_PHOTOS .. entry.owner, id)
  add_occupancy(entry.kind, -1, -tonumber(entry.bytes), -tonumber(entry.pixels))
end

-- Hands an outcome to the photo's job, or to the replica at which its client waits.
local function deliver_outcome(id, entry, outcome, failed, billed)
  if entry.job ~= '' then
    settle_job(entry.job, entry.index, outcome, failed, billed, time_text(redis_time()))
  elseif redis.call('ZSCORE', KEY_ALIVE, entry.owner) then
    redis.call('HSET', KEY_INBOX .. entry.owner, id, outcome)
    redis.call('PUBLISH', KEY_REPLICA_BELL .. entry.owner, '1')
  end
end
