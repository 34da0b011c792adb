-- Max-min fair shares of a limit, as core/fair_share.py describes them.

-- Returns the most that anybody may use of the limit where all who use less keep what they use, and
-- `seats` more come who use as much as the most.
local function fair_level(uses, limit, seats)
  table.sort(uses)
  local left, count = limit, #uses + seats
  for _, use in ipairs(uses) do
    if use >= left / count then return left / count end
    left, count = left - use, count - 1
  end
  return count > 0 and left / count or limit
end

-- Returns how much a tenant may use in all, if it asks for `amount` more in so many `pieces`.
-- `uses` are by tenant, `total` is used in all, and there may be so many `tenants`.
local function most_for(tenant, amount, pieces, uses, total, limit, tenants)
  local use, others = uses[tenant] or 0, {}
  local free = limit - (total - use)
  local is_first = use == 0 and pieces == 1
  if is_first or total + amount <= FREE_SHARE * limit then return free end
  for name, value in pairs(uses) do
    if name ~= tenant and value > 0 then others[#others + 1] = value end
  end
  local seats = tenants > 1 + #others and 1 or 0
  others[#others + 1] = use + amount
  return math.min(free, fair_level(others, limit, seats))
end
