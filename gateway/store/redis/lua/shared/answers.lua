require 'shared/time'

-- Returns the answer under a key, which is the most recently used then; or false.
local function used_answer(key)
  local answer = redis.call('GET', key)
  if answer then redis.call('ZADD', KEY_ANSWERS_BY_USE, time_text(redis_time()), key) end
  return answer
end
