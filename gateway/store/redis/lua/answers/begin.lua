#!lua
-- KEYS: an answer's, and its lease's. ARGV: the photo that asks, its lease in ms.
-- Returns REPLY_MARK and the answer; RUN_MARK while another photo has the lease; '' if this photo
-- has it.
require 'shared/answers'

local photo, lease_ms = ARGV[1], ARGV[2]
local answer = used_answer(KEYS[1])
if answer then return REPLY_MARK .. answer end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= photo then return RUN_MARK end
redis.call('SET', KEYS[2], photo, 'PX', lease_ms)
return ''
