#!lua flags=allow-oom
-- Holds what the charges of one call demand, in place of what is held under its id; or, where some
-- find no room, nothing.
-- ARGV: the replica; the id of the hold; when it ends by itself; a DEMAND_ROW for each meter of
-- each charge, in the order of the charges.
-- Returns, of each charge that finds no room, its index and the first meter without.
-- `ledger.budgets.shortages` is the same.
require 'shared/arguments'
require 'shared/meters'
require 'shared/time'

local replica, hold, ends_at = argument(), argument(), tonumber(argument())
local demands = other_rows(DEMAND_ROW)
release_hold(replica, hold)
local now, rooms = redis_time(), {}
for _, demand in ipairs(demands) do
  local meter = demand.meter
  rooms[meter] = rooms[meter]
    or tonumber(demand.limit) - spent_on(meter) - held_on(meter, now)
end

local amounts, shortages = {}, {}
local first = 1
while first <= #demands do
  local charge, last = demands[first].charge, first
  while demands[last + 1] and demands[last + 1].charge == charge do last = last + 1 end
  local shortage = nil
  for i = first, last do
    local meter = demands[i].meter
    local fits = tonumber(demands[i].amount) <= rooms[meter] + TOLERANCE
    if not fits and not shortage then shortage = {tonumber(charge), meter} end
  end
  for i = first, shortage and first - 1 or last do
    local meter, amount = demands[i].meter, tonumber(demands[i].amount)
    rooms[meter], amounts[meter] = rooms[meter] - amount, (amounts[meter] or 0) + amount
  end
  shortages[#shortages + 1] = shortage
  first = last + 1
end
if #shortages == 0 then write_hold(replica, hold, ends_at, amounts) end
return shortages
