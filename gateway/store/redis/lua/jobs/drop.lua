-- ARGV: the id of a job whose photos were not taken.
if redis.call('HGET', jobs_key('job', ARGV[1]), 'state') == 'accepting' then remove(ARGV[1]) end
