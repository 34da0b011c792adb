#!lua flags=allow-oom
-- ARGV: names of meters.
-- Returns of each what was spent, and what is held.
require 'shared/meters'
require 'shared/time'

local now, rows = redis_time(), {}
for i, meter in ipairs(ARGV) do
  rows[i] = {tostring(spent_on(meter)), tostring(held_on(meter, now))}
end
return rows
