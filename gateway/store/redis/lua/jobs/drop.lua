#!lua flags=allow-oom
-- Removes a job for whose photos the buffer has no room.
-- ARGV: the job's id.
require 'shared/remove_job'

if redis.call('HGET', KEY_JOB .. ARGV[1], JOB_STATE) == ACCEPTING then remove_job(ARGV[1]) end
