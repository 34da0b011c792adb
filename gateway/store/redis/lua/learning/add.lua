#!lua
-- Adds to the account of a lesson and appends observations.
-- ARGV: the lesson; an amount for each of TALLY_FIELDS; how many observations are kept; the
-- observations.
require 'shared/arguments'

local lesson = argument()
local amounts, most = row(TALLY_FIELDS), tonumber(argument())
local key = KEY_LESSON .. lesson
redis.call('SADD', KEY_LESSONS, lesson)
for _, field in ipairs(TALLY_FIELDS) do redis.call('HINCRBYFLOAT', key, field, amounts[field]) end
local observations = KEY_OBSERVATIONS .. lesson
local count = 0
while argument_position < #ARGV do
  redis.call('RPUSH', observations, argument())
  count = count + 1
end
redis.call('HINCRBY', key, LESSON_OBSERVATIONS, count)
redis.call('LTRIM', observations, -most, -1)
