-- ARGV: the commit's own id, the replica, the canvas whose call has ended (or ''), then four lists, each with its length
-- before it:
--   settled: id, turn, outcome, failed, images billed, answered, what it would have cost alone
--   again:   id, turn, lane, its cells, put_at, due_at, bytes, pixels, entry, the lane of a photo alone
--   gone:    id
--   charges: tenant, images billed, images that may be, dollars, photos, answered, dollars alone
-- Returns the photos that were settled or put again, and were not somebody else's meanwhile.
local at = 1
local function take(count)
  local values = {unpack(ARGV, at, at + count - 1)}
  at = at + count
  return values
end
local function list(width)
  local rows = {}
  for i = 1, tonumber(take(1)[1]) do rows[i] = take(width) end
  return rows
end
local commit, replica, ended = unpack(take(3))
local settled, again, gone, charges = list(7), list(10), list(1), list(7)

-- Sent twice, because the first reply was lost, it counts once, and is answered as it was the first time.
local REMEMBERED_S = 900
local before = redis.call('HGET', P .. 'commits:counted', commit)
if before then
  local counted = {}
  for id in string.gmatch(before, '[^\n]+') do counted[#counted + 1] = id end
  return counted
end
for _, old in ipairs(redis.call('ZRANGE', P .. 'commits', '-inf', now() - REMEMBERED_S, 'BYSCORE', 'LIMIT', 0, 100)) do
  redis.call('ZREM', P .. 'commits', old)
  redis.call('HDEL', P .. 'commits:counted', old)
end

for _, row in ipairs(charges) do
  charge(row[1], {billed = tonumber(row[2]), unknown = tonumber(row[3]), paid_usd = tonumber(row[4]),
                  photos = tonumber(row[5]), answered = tonumber(row[6]), alone_usd = tonumber(row[7])})
end

local counted = {}
local function current(id, turn)
  local e = read(id)
  if e and e.turn == turn then return e end
end

for _, row in ipairs(settled) do
  local id = row[1]
  local e = current(id, row[2])
  if e then
    deliver(id, e, row[3], tonumber(row[4]), tonumber(row[5]))
    leave(id, e)
    charge(e.tenant, {photos = counts(e), answered = tonumber(row[6]), alone_usd = tonumber(row[7])})
    counted[#counted + 1] = id
  end
end

for _, row in ipairs(again) do
  local id, lane, cells = row[1], row[3], tonumber(row[4])
  local e = current(id, row[2])
  if e then
    unwait(id, e.lane)
    redis.call('SREM', P .. 'held:' .. e.holder, id)
    add_room(e.kind, 0, tonumber(row[7]) - tonumber(e.bytes), tonumber(row[8]) - tonumber(e.pixels))
    e.lane, e.put_at, e.due_at = lane, row[5], row[6]
    redis.call('HSET', entry_key(id), 'lane', lane, 'put_at', row[5], 'due_at', row[6], 'bytes', row[7],
               'pixels', row[8], 'meta', row[9], 'alone', row[10], 'tries', 0, 'holder', '', 'asked', '')
    local before = lane_count(lane)
    wait(id, e)
    wake(lane, cells, before)
    counted[#counted + 1] = id
  end
end

for _, row in ipairs(gone) do
  local e = read(row[1])
  if e then
    leave(row[1], e)
    charge(e.tenant, {photos = counts(e)})
  end
end
-- Whoever took this replica for dead has counted the canvas among those that may be billed.
if ended ~= '' and redis.call('HDEL', P .. 'asked:' .. replica, ended) == 0 then
  local shares = redis.call('HGET', P .. 'unsure', ended)
  for tenant, share in pairs(cjson.decode(shares or '{}')) do charge(tenant, {unknown = -share}) end
  redis.call('HDEL', P .. 'unsure', ended)
end
redis.call('ZADD', P .. 'commits', now(), commit)
redis.call('HSET', P .. 'commits:counted', commit, table.concat(counted, '\n'))
return counted
