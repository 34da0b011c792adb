-- ARGV: replica, canvas, then id, turn and tenant of each of its photos. Notes that it is about to be asked about, for
-- whoever finds this replica dead, and returns those that are still wanted. A canvas '' is nobody's bill.
local replica, canvas = ARGV[1], ARGV[2]
local wanted, shares, seen = {}, {}, (#ARGV - 2) / 3
for i = 3, #ARGV, 3 do
  if redis.call('HGET', entry_key(ARGV[i]), 'turn') == ARGV[i + 1] then wanted[#wanted + 1] = ARGV[i] end
  shares[ARGV[i + 2]] = (shares[ARGV[i + 2]] or 0) + 1 / seen
end
for _, id in ipairs(wanted) do redis.call('HSET', entry_key(id), 'asked', canvas) end
if #wanted > 0 and canvas ~= '' then
  redis.call('HSET', P .. 'asked:' .. replica, canvas, cjson.encode(shares))
else
  redis.call('HDEL', P .. 'asked:' .. replica, canvas)
end
return wanted
