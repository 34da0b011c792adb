#!lua flags=allow-oom
-- ARGV: ids of photos. Returns those that are not in the buffer.
local orphans = {}
for _, id in ipairs(ARGV) do
  if redis.call('EXISTS', KEY_ENTRY .. id) == 0 then orphans[#orphans + 1] = id end
end
return orphans
