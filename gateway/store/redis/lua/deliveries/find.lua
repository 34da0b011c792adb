#!lua flags=allow-oom
-- ARGV: how many fields follow; the fields; then the ids of deliveries.
-- Returns the fields of each of the deliveries that there is.
local count = tonumber(ARGV[1])
local rows = {}
for i = count + 2, #ARGV do
  local key = KEY_DELIVERY .. ARGV[i]
  if redis.call('EXISTS', key) == 1 then
    rows[#rows + 1] = redis.call('HMGET', key, unpack(ARGV, 2, count + 1))
  end
end
return rows
