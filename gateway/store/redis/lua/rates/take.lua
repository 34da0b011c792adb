#!lua flags=allow-oom
-- Takes claims of rate limits: all, or none. `ledger.rates.next_arrival` is the same.
-- ARGV: a CLAIM_ROW for each claim.
-- Returns in how many seconds all would be allowed; 0 where they were taken.
require 'shared/arguments'
require 'shared/time'

local now, wait_s, arrivals = redis_time(), 0, {}
for _, claim in ipairs(other_rows(CLAIM_ROW)) do
  local per_s = tonumber(claim.per_s)
  local taken_s = tonumber(claim.units) / per_s
  local burst_s = math.max(tonumber(claim.burst) / per_s, taken_s)
  local arrival = tonumber(redis.call('GET', KEY_RATE .. claim.name) or '0')
  local later = math.max(arrival, now) + taken_s
  wait_s = math.max(wait_s, later - burst_s - now)
  arrivals[claim.name] = later
end
if wait_s <= 0 then
  for name, later in pairs(arrivals) do
    redis.call('SET', KEY_RATE .. name, time_text(later), 'EX', math.ceil(later - now) + 1)
  end
end
return time_text(math.max(wait_s, 0))
