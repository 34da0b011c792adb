#!lua flags=allow-oom
-- Returns each lesson, its amounts in the order of TALLY_FIELDS, the number of its observations,
-- and its plan.
local rows = {}
for _, lesson in ipairs(redis.call('SMEMBERS', KEY_LESSONS)) do
  local key, row = KEY_LESSON .. lesson, {lesson}
  for _, value in ipairs(redis.call('HMGET', key, unpack(TALLY_FIELDS))) do
    row[#row + 1] = value or '0'
  end
  row[#row + 1] = redis.call('HGET', key, LESSON_OBSERVATIONS) or '0'
  row[#row + 1] = redis.call('HGET', key, LESSON_PLAN) or ''
  rows[#rows + 1] = row
end
return rows
