#!lua flags=allow-oom
-- ARGV: the tenant, the id after which the page begins or '', how many jobs, then the fields.
-- Returns the fields of each job, latest first.
local tenant, after, count = ARGV[1], ARGV[2], ARGV[3]
local start = after == '' and '+' or '(' .. after
local ids = redis.call('ZRANGE', KEY_TENANT_JOBS .. tenant, start, '-', 'BYLEX', 'REV',
                       'LIMIT', 0, count)
local rows = {}
for _, id in ipairs(ids) do
  rows[#rows + 1] = redis.call('HMGET', KEY_JOB .. id, unpack(ARGV, 4))
end
return rows
