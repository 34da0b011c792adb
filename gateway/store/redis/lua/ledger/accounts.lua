#!lua flags=allow-oom
-- Returns each tenant's name and the fields of its account, in the order of ACCOUNT_FIELDS.
local rows = {}
for _, tenant in ipairs(redis.call('SMEMBERS', KEY_TENANTS)) do
  local row = {tenant}
  for i, value in ipairs(redis.call('HMGET', KEY_ACCOUNT .. tenant, unpack(ACCOUNT_FIELDS))) do
    row[1 + i] = value or '0'
  end
  rows[#rows + 1] = row
end
return rows
