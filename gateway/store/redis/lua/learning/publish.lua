#!lua
-- Replaces the plan of a lesson and ends the claim. ARGV: the lesson; the plan.
redis.call('HSET', KEY_LESSON .. ARGV[1], LESSON_PLAN, ARGV[2])
redis.call('DEL', KEY_LESSON_CLAIM .. ARGV[1])
