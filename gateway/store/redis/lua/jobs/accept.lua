-- ARGV: the job's id, the time. Its photos are in the buffer.
accept_job(ARGV[1], ARGV[2])
