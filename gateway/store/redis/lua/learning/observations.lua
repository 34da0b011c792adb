#!lua flags=allow-oom
-- Returns the observations of a lesson. ARGV: the lesson.
return redis.call('LRANGE', KEY_OBSERVATIONS .. ARGV[1], 0, -1)
