-- KEYS: a call's ids. ARGV: the run that is at it, its lease in ms.
-- Returns 1 where another waits for its end.
local wanted = 0
for _, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  if not known or known == '?' .. ARGV[1] then redis.call('SET', key, '?' .. ARGV[1], 'PX', ARGV[2]) end
  if redis.call('EXISTS', key .. ':wanted') == 1 then wanted = 1 end
end
return wanted
