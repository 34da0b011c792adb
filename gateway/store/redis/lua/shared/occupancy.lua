-- Adds to what is in the buffer of one priority, and to the tenant's part of it.
local function add_occupancy(priority, tenant, photos, bytes, pixels)
  local key, tenant_key = KEY_OCCUPANCY .. priority, KEY_TENANT_OCCUPANCY .. priority
  local changes = {photos = photos, bytes = bytes, pixels = pixels}
  local left
  for i, measure in ipairs(MEASURES) do
    -- Lua's own -0 is no integer to Redis
    local change, tenant_field = string.format('%d', changes[measure]), measure .. '@' .. tenant
    local sum = redis.call('HINCRBY', key, measure, change)
    if i == 1 then left = sum end
    if redis.call('HINCRBY', tenant_key, tenant_field, change) <= 0 then
      redis.call('HDEL', tenant_key, tenant_field)
    end
  end
  if left == 0 then redis.call('DEL', key, tenant_key) end
end
