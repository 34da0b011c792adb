-- Adds amounts, by the fields of an account, to the account of a tenant.
local function charge(tenant, amounts)
  local key = KEY_ACCOUNT .. tenant
  redis.call('SADD', KEY_TENANTS, tenant)
  for _, field in ipairs(ACCOUNT_FIELDS) do
    local amount = tonumber(amounts[field] or 0)
    if amount ~= 0 then redis.call('HINCRBYFLOAT', key, field, string.format('%.12g', amount)) end
  end
end
