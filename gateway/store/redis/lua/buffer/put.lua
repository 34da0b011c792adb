#!lua
-- Puts photos into the buffer: all of them, or none. A photo that is in the buffer already is left
-- as it is.
-- ARGV: the replica; the most photos, bytes and pixels, for each of the PRIORITIES; how many
-- tenants there may be; the limits of single tenants as JSON, by tenant and measure; then a
-- PHOTO_ROW for each photo.
-- Returns '' or, having put none, the measure that has no room left, or SHARE_MARK and the measure
-- of which the photo's tenant has its share; UNREGISTERED if the replica is not registered.
require 'shared/arguments'
require 'shared/entries'
require 'shared/fair_share'
require 'shared/lanes'
require 'shared/occupancy'
require 'shared/replicas'

local replica = argument()
if not is_registered(replica) then return UNREGISTERED end
local limits = {}
for _, priority in ipairs(PRIORITIES) do limits[priority] = row(MEASURES) end
local tenants, caps = tonumber(argument()), cjson.decode(argument())

-- What is used of each measure, in all and by tenant, by priority.
local rooms = {}
local function room_of(priority)
  if rooms[priority] then return rooms[priority] end
  local room = {}
  local sums = redis.call('HMGET', KEY_OCCUPANCY .. priority, unpack(MEASURES))
  for i, measure in ipairs(MEASURES) do
    room[measure] = {total = tonumber(sums[i] or '0'), uses = {}}
  end
  local fields = redis.call('HGETALL', KEY_TENANT_OCCUPANCY .. priority)
  for i = 1, #fields, 2 do
    local at = string.find(fields[i], '@', 1, true)
    local measure, tenant = string.sub(fields[i], 1, at - 1), string.sub(fields[i], at + 1)
    room[measure].uses[tenant] = tonumber(fields[i + 1])
  end
  rooms[priority] = room
  return room
end

-- Takes room for the photos of one tenant and priority. Returns why there is none, else nil.
local function take_room(priority, tenant, amounts)
  local room = room_of(priority)
  for _, measure in ipairs(MEASURES) do
    local used, amount = room[measure], amounts[measure]
    local limit = tonumber(limits[priority][measure])
    if used.total + amount > limit then return measure end
    local most = most_for(tenant, amount, amounts.photos, used.uses, used.total, limit, tenants)
    local cap = priority == PRIORITIES[1] and caps[tenant] and caps[tenant][measure]
    local use = (used.uses[tenant] or 0) + amount
    if use > math.min(most, cap or most) then return SHARE_MARK .. measure end
    used.total, used.uses[tenant] = used.total + amount, use
  end
end

local new_photos, new_ids, sums = {}, {}, {}
for _, photo in ipairs(other_rows(PHOTO_ROW)) do
  if not new_ids[photo.id] and redis.call('EXISTS', entry_key(photo.id)) == 0 then
    new_ids[photo.id] = true
    new_photos[#new_photos + 1] = photo
    local key = photo.priority .. '@' .. photo.tenant
    local sum = sums[key] or {priority = photo.priority, tenant = photo.tenant,
                              photos = 0, bytes = 0, pixels = 0}
    sum.photos, sum.bytes = sum.photos + 1, sum.bytes + tonumber(photo.byte_count)
    sum.pixels = sum.pixels + tonumber(photo.pixels)
    sums[key] = sum
  end
end
for _, sum in pairs(sums) do
  local refusal = take_room(sum.priority, sum.tenant, sum)
  if refusal then return refusal end
end

for _, photo in ipairs(new_photos) do
  local id, lane, job = photo.id, photo.lane, photo.job
  local owner = job == '' and replica or ''
  redis.call('HSET', entry_key(id), ENTRY_LANE, lane, ENTRY_ALONE, photo.alone_lane,
             ENTRY_KIND, photo.priority, ENTRY_TENANT, photo.tenant, ENTRY_PUT_AT, photo.put_at,
             ENTRY_DUE_AT, photo.due_at, ENTRY_BYTES, photo.byte_count, ENTRY_PIXELS, photo.pixels,
             ENTRY_JOB, job, ENTRY_INDEX, photo.job_index, ENTRY_META, photo.meta,
             ENTRY_ACCOUNT, photo.account, ENTRY_OWNER, owner, ENTRY_TURN, 0, ENTRY_TRIES, 0,
             ENTRY_HOLDER, '', ENTRY_ASKED, '')
  if owner ~= '' then redis.call('SADD', KEY_CLIENT_PHOTOS .. owner, id) end
  add_occupancy(photo.priority, photo.tenant, 1, photo.byte_count, photo.pixels)
  local size_before = lane_size(lane)
  enqueue(id, {lane = lane, kind = photo.priority, tenant = photo.tenant, put_at = photo.put_at,
               due_at = photo.due_at})
  wake_replicas(lane, tonumber(photo.cells), size_before)
end
return ''
