#!lua flags=allow-oom
-- Removes jobs that ended long ago, and accepts or removes jobs that were left while they were
-- being accepted.
-- ARGV: the time, the time before which left jobs came, the time before which old jobs ended, how
-- many of each at most.
-- Returns how many jobs there were.
require 'shared/jobs'
require 'shared/remove_job'

local now, came_before, ended_before, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local left_jobs = redis.call('ZRANGE', KEY_ACCEPTING_JOBS, '-inf', came_before, 'BYSCORE',
                             'LIMIT', 0, most)
for _, id in ipairs(left_jobs) do
  accept_if_put(id, now)
  if redis.call('HGET', KEY_JOB .. id, JOB_STATE) == ACCEPTING then remove_job(id) end
end
local old_jobs = redis.call('ZRANGE', KEY_ENDED_JOBS, '-inf', ended_before, 'BYSCORE',
                            'LIMIT', 0, most)
for _, id in ipairs(old_jobs) do remove_job(id) end
return #left_jobs + #old_jobs
