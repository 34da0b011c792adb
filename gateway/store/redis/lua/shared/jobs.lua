-- Changes of jobs that several scripts make: the buffer's, when a photo of a job is settled, and
-- the job store's.
require 'shared/deliveries'
require 'shared/time'

-- Creates a delivery about a job or, if `number` is not 0, about the photo of that index and result
-- number. Does nothing for a job without a webhook.
local function create_delivery(job_id, event, now, index, number)
  local job = redis.call('HMGET', KEY_JOB .. job_id, JOB_TENANT, JOB_URL, JOB_HOST)
  local tenant, url, host = job[1], job[2], job[3]
  if url == '' then return end
  local id = job_id .. '-' .. (number > 0 and index or END_SUFFIX)
  redis.call('HSET', KEY_DELIVERY .. id,
             DELIVERY_ID, id, DELIVERY_TENANT, tenant, DELIVERY_JOB, job_id, DELIVERY_KIND, event,
             DELIVERY_INDEX, index, DELIVERY_URL, url, DELIVERY_HOST, host,
             DELIVERY_ATTEMPTS, 0, DELIVERY_DUE_AT, now, DELIVERY_CREATED_AT, now,
             DELIVERY_LAST_ERROR, '', DELIVERY_NUMBER, number, DELIVERY_DEAD, 0)
  redis.call('ZADD', KEY_HOST_DELIVERIES .. host, now, id)
  redis.call('HINCRBY', KEY_JOB .. job_id, JOB_TELLING, 1)
  reschedule_host(host)
end

local function end_job(id, state, now)
  redis.call('HSET', KEY_JOB .. id, JOB_STATE, state, JOB_FINISHED_AT, now)
  create_delivery(id, JOB_EVENT .. state, now, 0, 0)
  reschedule_forgetting(id)
end

-- Adds a photo's result to a running job. Does nothing for a photo that is settled already.
local function add_result(id, index, outcome, failed, billed, now)
  local key = KEY_JOB .. id
  local job = redis.call('HMGET', key, JOB_STATE, JOB_PHOTOS, JOB_EACH)
  local state, photos, has_photo_events = job[1], tonumber(job[2]), job[3] == '1'
  if state ~= STATE_RUNNING or tonumber(index) >= photos then return end
  if redis.call('SETBIT', KEY_SETTLED_BITS .. id, index, 1) == 1 then return end
  local number = redis.call('RPUSH', KEY_RESULTS .. id, index .. ':' .. outcome)
  redis.call('HSET', key, JOB_SETTLED, number)
  redis.call('HINCRBY', key, JOB_FAILED, failed)
  redis.call('HINCRBYFLOAT', key, JOB_BILLED, string.format('%.17g', billed))
  if has_photo_events then create_delivery(id, PHOTO_EVENT, now, index, number) end
  if number == photos then end_job(id, STATE_DONE, now) end
end

-- Makes a job visible to its tenant. Does nothing for a job that is accepted already.
local function accept_job(id, now)
  local key = KEY_JOB .. id
  if redis.call('HGET', key, JOB_STATE) ~= ACCEPTING then return end
  redis.call('HSET', key, JOB_STATE, STATE_RUNNING)
  redis.call('ZREM', KEY_ACCEPTING_JOBS, id)
  redis.call('ZADD', KEY_TENANT_JOBS .. redis.call('HGET', key, JOB_TENANT), 0, id)
  local refusals = redis.call('LRANGE', KEY_REFUSALS .. id, 0, -1)
  for i = 1, #refusals, 2 do add_result(id, refusals[i], refusals[i + 1], 1, 0, now) end
  redis.call('DEL', KEY_REFUSALS .. id)
end

-- Accepts a job if its first photo is in the buffer. All its photos were put at once, or none: so
-- the job was to be accepted, and the replica that submitted it died before it could do so.
local function accept_if_put(id, now)
  local first_photo = redis.call('HGET', KEY_JOB .. id, JOB_FIRST)
  if first_photo and redis.call('EXISTS', KEY_ENTRY .. first_photo) == 1 then
    accept_job(id, now)
  end
end

-- Records a photo's outcome: once, and never after its job has ended.
local function settle_job(id, index, outcome, failed, billed, now)
  accept_job(id, now)
  add_result(id, index, outcome, tonumber(failed), tonumber(billed), now)
end
