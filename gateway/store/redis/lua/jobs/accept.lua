#!lua flags=allow-oom
-- Accepts a job whose photos are in the buffer.
-- ARGV: the job's id, the time.
require 'shared/jobs'

accept_job(ARGV[1], ARGV[2])
