-- ARGV: photos. Returns those that are not held.
local orphans = {}
for _, id in ipairs(ARGV) do
  if redis.call('EXISTS', entry_key(id)) == 0 then orphans[#orphans + 1] = id end
end
return orphans
