#!lua flags=allow-oom
-- Returns how many photos, bytes and pixels are in the buffer, in the order of MEASURES.
local sums = {}
for i = 1, #MEASURES do sums[i] = 0 end
for _, priority in ipairs(PRIORITIES) do
  for i, value in ipairs(redis.call('HMGET', KEY_OCCUPANCY .. priority, unpack(MEASURES))) do
    sums[i] = sums[i] + tonumber(value or '0')
  end
end
return sums
