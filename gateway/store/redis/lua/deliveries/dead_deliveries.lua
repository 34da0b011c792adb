#!lua flags=allow-oom
-- ARGV: how many deliveries at most, then the fields.
-- Returns the fields of each dead delivery, latest first.
local rows = {}
for _, id in ipairs(redis.call('ZRANGE', KEY_DEAD_DELIVERIES, 0, ARGV[1] - 1, 'REV')) do
  rows[#rows + 1] = redis.call('HMGET', KEY_DELIVERY .. id, unpack(ARGV, 2))
end
return rows
