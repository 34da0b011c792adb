#!lua
-- KEYS: the keys of a call's ids. ARGV: the run, its lease in ms, for how many ms a waiter is
-- remembered.
-- Returns REPLY_MARK and the reply; RUN_MARK while another run is at the call; '' if this run is to
-- make the reply.
local run, lease_ms, waiter_ms = ARGV[1], ARGV[2], ARGV[3]
local is_taken = false
for _, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if value and value:sub(1, #REPLY_MARK) == REPLY_MARK then return value end
  if value and value ~= RUN_MARK .. run then is_taken = true end
end
if is_taken then
  for _, key in ipairs(KEYS) do redis.call('SET', key .. KEY_WAITER_SUFFIX, '', 'PX', waiter_ms) end
  return RUN_MARK
end
for _, key in ipairs(KEYS) do redis.call('SET', key, RUN_MARK .. run, 'PX', lease_ms) end
return ''
