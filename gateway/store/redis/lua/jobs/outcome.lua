-- ARGV: the job's id, the photo's index, the outcome, 1 if it failed, images billed, the time.
settle_job(unpack(ARGV))
