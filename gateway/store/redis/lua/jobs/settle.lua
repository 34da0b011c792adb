#!lua flags=allow-oom
-- ARGV: the job's id, the photo's index, the outcome, 1 if it failed or else 0, images billed, the
-- time.
require 'shared/jobs'

settle_job(unpack(ARGV))
