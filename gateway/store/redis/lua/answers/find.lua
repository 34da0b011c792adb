#!lua
-- KEYS: an answer's. Returns the answer, or nil.
require 'shared/answers'

return used_answer(KEYS[1])
