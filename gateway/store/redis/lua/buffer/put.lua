-- ARGV: replica, the room of each kind (photos, bytes, pixels; twice), then 13 for each photo.
-- Returns '' or, having taken nothing, what there is no room for; 'unknown' where the replica has not said that it lives.
local replica = ARGV[1]
if not lives(replica) then return 'unknown' end
local EACH, first = 13, 8
local MEASURES = {'photos', 'bytes', 'pixels'}

local new, seen, more = {}, {}, {['0'] = {0, 0, 0}, ['1'] = {0, 0, 0}}
for i = first, #ARGV, EACH do
  local id = ARGV[i]
  if not seen[id] and redis.call('EXISTS', entry_key(id)) == 0 then
    seen[id] = true
    new[#new + 1] = i
    local sum = more[ARGV[i + 4]]
    sum[1], sum[2], sum[3] = sum[1] + 1, sum[2] + tonumber(ARGV[i + 8]), sum[3] + tonumber(ARGV[i + 9])
  end
end
for kind = 0, 1 do
  local sum, key = more[tostring(kind)], P .. 'room:' .. kind
  for m, measure in ipairs(MEASURES) do
    local held = tonumber(redis.call('HGET', key, measure) or '0')
    if sum[1] > 0 and held + sum[m] > tonumber(ARGV[1 + 3 * kind + m]) then return measure end
  end
end

for _, i in ipairs(new) do
  local id, cells = ARGV[i], tonumber(ARGV[i + 3])
  local e = {lane = ARGV[i + 1], alone = ARGV[i + 2], kind = ARGV[i + 4], tenant = ARGV[i + 5], put_at = ARGV[i + 6],
             due_at = ARGV[i + 7], bytes = ARGV[i + 8], pixels = ARGV[i + 9], job = ARGV[i + 10], index = ARGV[i + 11]}
  local owner = e.job == '' and replica or ''
  redis.call('HSET', entry_key(id), 'lane', e.lane, 'alone', e.alone, 'kind', e.kind, 'tenant', e.tenant,
             'put_at', e.put_at, 'due_at', e.due_at, 'bytes', e.bytes, 'pixels', e.pixels, 'job', e.job,
             'index', e.index, 'meta', ARGV[i + 12], 'owner', owner, 'turn', 0, 'tries', 0, 'holder', '', 'asked', '')
  if owner ~= '' then redis.call('SADD', P .. 'own:' .. owner, id) end
  add_room(e.kind, 1, tonumber(e.bytes), tonumber(e.pixels))
  local before = lane_count(e.lane)
  wait(id, e)
  wake(e.lane, cells, before)
end
return ''
