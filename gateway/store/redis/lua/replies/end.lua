#!lua
-- Ends a run. The ids of another run, and those that have a reply, are left alone.
-- KEYS: the keys of a call's ids. ARGV: the run, its reply or '', for how many ms to keep the
-- reply.
local run, reply, reply_ms = ARGV[1], ARGV[2], ARGV[3]
for _, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if not value or value == RUN_MARK .. run then
    redis.call('DEL', key .. KEY_WAITER_SUFFIX)
    if reply == '' then
      redis.call('DEL', key)
    else
      redis.call('SET', key, REPLY_MARK .. reply, 'PX', reply_ms)
    end
  end
end
return ''
