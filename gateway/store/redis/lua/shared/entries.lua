-- The photos in the buffer, waiting and claimed.

local function entry_key(id) return KEY_ENTRY .. id end

-- Returns a photo's entry as a table by ENTRY_FIELDS; nil for a photo that is not in the buffer.
local function read_entry(id)
  local values = redis.call('HMGET', entry_key(id), unpack(ENTRY_FIELDS))
  if not values[1] then return nil end
  local entry = {}
  for i, field in ipairs(ENTRY_FIELDS) do entry[field] = values[i] or '' end
  return entry
end

-- Returns the text of the key of the account that a photo counts for.
local function account_of(entry)
  return entry.account ~= '' and entry.account or entry.tenant
end

-- Returns how many photos the entry counts for in its tenant's account: none if it is patient and
-- of no job, for the gateway asks about it for itself.
local function photo_count(entry)
  return (entry.kind == PRIORITIES[1] or entry.job ~= '') and 1 or 0
end
