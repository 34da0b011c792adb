-- ARGV: the tenant, the id before which to begin (or ''), how many, then fields. Returns these of each job, latest first.
local from = ARGV[2] == '' and '+' or '(' .. ARGV[2]
local rows = {}
for _, id in ipairs(redis.call('ZRANGE', jobs_key('jobs', ARGV[1]), from, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[3])) do
  rows[#rows + 1] = redis.call('HMGET', jobs_key('job', id), unpack(ARGV, 4))
end
return rows
