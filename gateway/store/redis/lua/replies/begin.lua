-- KEYS: a call's ids. ARGV: the run, its lease in ms, and for how many ms it is known that somebody waits.
-- A key holds '?' and the run that is at the call, or '=' and the reply.
-- Returns '=' and the reply, '?' while another run is at it, or '' where this run is the one to make it.
local other = false
for _, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  if known and known:sub(1, 1) == '=' then return known end
  if known and known ~= '?' .. ARGV[1] then other = key end
end
if other then
  for _, key in ipairs(KEYS) do redis.call('SET', key .. ':wanted', '', 'PX', ARGV[3]) end
  return '?'
end
for _, key in ipairs(KEYS) do redis.call('SET', key, '?' .. ARGV[1], 'PX', ARGV[2]) end
return ''
