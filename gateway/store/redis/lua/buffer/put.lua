#!lua
-- Puts photos into the buffer: all of them, or none. A photo that is in the buffer already is left
-- as it is.
-- ARGV: the replica; the most photos, bytes and pixels, for each of the PRIORITIES; then a
-- PHOTO_ROW for each photo.
-- Returns '' or, having put none, the measure that has no room left; UNREGISTERED if the replica is
-- not registered.
require 'shared/arguments'
require 'shared/entries'
require 'shared/lanes'
require 'shared/occupancy'
require 'shared/replicas'

local replica = argument()
if not is_registered(replica) then return UNREGISTERED end
local limits, increases = {}, {}
for _, priority in ipairs(PRIORITIES) do
  limits[priority] = row(MEASURES)
  increases[priority] = {photos = 0, bytes = 0, pixels = 0}
end

local new_photos, new_ids = {}, {}
for _, photo in ipairs(other_rows(PHOTO_ROW)) do
  if not new_ids[photo.id] and redis.call('EXISTS', entry_key(photo.id)) == 0 then
    new_ids[photo.id] = true
    new_photos[#new_photos + 1] = photo
    local increase = increases[photo.priority]
    increase.photos = increase.photos + 1
    increase.bytes = increase.bytes + photo.byte_count
    increase.pixels = increase.pixels + photo.pixels
  end
end
for _, priority in ipairs(PRIORITIES) do
  local increase = increases[priority]
  if increase.photos > 0 then
    local sums = redis.call('HMGET', KEY_OCCUPANCY .. priority, unpack(MEASURES))
    for i, measure in ipairs(MEASURES) do
      local sum = (sums[i] or 0) + increase[measure]
      if sum > tonumber(limits[priority][measure]) then return measure end
    end
  end
end

for _, photo in ipairs(new_photos) do
  local id, lane, job = photo.id, photo.lane, photo.job
  local owner = job == '' and replica or ''
  redis.call('HSET', entry_key(id), ENTRY_LANE, lane, ENTRY_ALONE, photo.alone_lane,
             ENTRY_KIND, photo.priority, ENTRY_TENANT, photo.tenant, ENTRY_PUT_AT, photo.put_at,
             ENTRY_DUE_AT, photo.due_at, ENTRY_BYTES, photo.byte_count, ENTRY_PIXELS, photo.pixels,
             ENTRY_JOB, job, ENTRY_INDEX, photo.job_index, ENTRY_META, photo.meta,
             ENTRY_OWNER, owner, ENTRY_TURN, 0, ENTRY_TRIES, 0, ENTRY_HOLDER, '', ENTRY_ASKED, '')
  if owner ~= '' then redis.call('SADD', KEY_CLIENT_PHOTOS .. owner, id) end
  add_occupancy(photo.priority, 1, photo.byte_count, photo.pixels)
  local size_before = lane_size(lane)
  enqueue(id, {lane = lane, kind = photo.priority, tenant = photo.tenant, put_at = photo.put_at,
               due_at = photo.due_at})
  wake_replicas(lane, tonumber(photo.cells), size_before)
end
return ''
