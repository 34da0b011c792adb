#!lua
-- Extends the lease of a run.
-- KEYS: the keys of a call's ids. ARGV: the run, its lease in ms.
-- Returns 1 if another run waits for the end of this one, or else 0.
local run, lease_ms = ARGV[1], ARGV[2]
local has_waiter = 0
for _, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if not value or value == RUN_MARK .. run then
    redis.call('SET', key, RUN_MARK .. run, 'PX', lease_ms)
  end
  if redis.call('EXISTS', key .. KEY_WAITER_SUFFIX) == 1 then has_waiter = 1 end
end
return has_waiter
