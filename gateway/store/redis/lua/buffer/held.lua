-- Returns photos, bytes and pixels that are held.
local sum = {0, 0, 0}
for _, kind in ipairs({'0', '1'}) do
  local values = redis.call('HMGET', P .. 'room:' .. kind, 'photos', 'bytes', 'pixels')
  for i = 1, 3 do sum[i] = sum[i] + tonumber(values[i] or '0') end
end
return sum
