#!lua flags=allow-oom
-- ARGV: the tenant, the job's id, the time.
-- Returns the indices of the photos that are withdrawn, by this or by an earlier call; nil if the
-- tenant has no such job.
require 'shared/jobs'

local tenant, id, now = ARGV[1], ARGV[2], ARGV[3]
local job = redis.call('HMGET', KEY_JOB .. id, JOB_TENANT, JOB_STATE, JOB_PHOTOS)
local state, photos = job[2], job[3]
if job[1] ~= tenant or state == ACCEPTING then return nil end
if state == STATE_RUNNING then end_job(id, STATE_ABORTED, now) end
local withdrawn = {}
if state ~= STATE_DONE then
  for index = 0, photos - 1 do
    local is_settled = redis.call('GETBIT', KEY_SETTLED_BITS .. id, index) == 1
    if not is_settled then withdrawn[#withdrawn + 1] = index end
  end
end
return withdrawn
