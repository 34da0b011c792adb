-- ARGV: the time; when jobs must have come that nobody is accepting any more; when jobs must have ended that are
-- forgotten; how many of each to see to. Returns how many there were.
local now, came, ended, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local left = redis.call('ZRANGE', KEYS[1] .. 'accepting', '-inf', came, 'BYSCORE', 'LIMIT', 0, most)
for _, id in ipairs(left) do
  accept_if_taken(id, now)
  if redis.call('HGET', jobs_key('job', id), 'state') == 'accepting' then remove(id) end
end
local old = redis.call('ZRANGE', KEYS[1] .. 'ended', '-inf', ended, 'BYSCORE', 'LIMIT', 0, most)
for _, id in ipairs(old) do remove(id) end
return #left + #old
