-- Returns, for each tenant: its name, photos, answered, images billed, images that may be, dollars, dollars alone.
local rows = {}
for _, tenant in ipairs(redis.call('SMEMBERS', P .. 'tenants')) do
  local values = redis.call('HMGET', P .. 'ledger:' .. tenant, 'photos', 'answered', 'billed', 'unknown', 'paid_usd',
                            'alone_usd')
  rows[#rows + 1] = {tenant, values[1] or '0', values[2] or '0', values[3] or '0', values[4] or '0', values[5] or '0',
                     values[6] or '0'}
end
return rows
