-- Adds to what is in the buffer of one priority.
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
