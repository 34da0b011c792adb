#!lua
-- Returns 1 where the caller is to plan, 0 while another one is. ARGV: the lesson; the lease in ms.
if redis.call('SET', KEY_LESSON_CLAIM .. ARGV[1], 1, 'NX', 'PX', ARGV[2]) then return 1 end
return 0
