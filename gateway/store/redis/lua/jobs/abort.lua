-- ARGV: the tenant, the job's id, the time. Returns the indices of the photos that are withdrawn, whether by this or
-- before; nothing where the tenant has no such job.
local tenant, id, now = ARGV[1], ARGV[2], ARGV[3]
local job = redis.call('HMGET', jobs_key('job', id), 'tenant', 'state', 'photos')
if job[1] ~= tenant or job[2] == 'accepting' then return nil end
if job[2] == 'running' then end_job(id, 'aborted', now) end
local open = {}
for index = 0, job[2] == 'done' and -1 or job[3] - 1 do
  if redis.call('GETBIT', jobs_key('places', id), index) == 0 then open[#open + 1] = index end
end
return open
