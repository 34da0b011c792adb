-- ARGV: how many, then fields. Returns these of each dead delivery, latest first.
local rows = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. 'undeliverable', 0, ARGV[1] - 1, 'REV')) do
  rows[#rows + 1] = redis.call('HMGET', jobs_key('delivery', id), unpack(ARGV, 2))
end
return rows
