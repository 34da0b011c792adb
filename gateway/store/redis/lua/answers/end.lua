#!lua
-- Ends a lease and keeps an answer. Those that were least recently used make room. An answer that
-- has expired counts until all that were used before it have gone.
-- KEYS: the answer's, and its lease's. ARGV: the photo that had the lease, the answer or '', for
-- how many ms to keep it, what it takes beside its bytes, and the bytes that all may take.
require 'shared/answers'

local key, lease = KEYS[1], KEYS[2]
local photo, answer, keep_ms = ARGV[1], ARGV[2], ARGV[3]
local overhead, max_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])

local function forget_size(name)
  local size = redis.call('HGET', KEY_ANSWER_SIZES, name)
  if not size then return end
  redis.call('HDEL', KEY_ANSWER_SIZES, name)
  redis.call('DECRBY', KEY_ANSWERS_SIZE, size)
end

if redis.call('GET', lease) == photo then redis.call('DEL', lease) end
if answer == '' then return '' end
forget_size(key)
local size = #answer + overhead
redis.call('SET', key, answer, 'PX', keep_ms)
redis.call('HSET', KEY_ANSWER_SIZES, key, size)
redis.call('ZADD', KEY_ANSWERS_BY_USE, time_text(redis_time()), key)
local total = redis.call('INCRBY', KEY_ANSWERS_SIZE, size)
for _ = 1, ANSWERS_FORGOTTEN do
  local oldest = redis.call('ZRANGE', KEY_ANSWERS_BY_USE, 0, 0)[1]
  if not oldest or (total <= max_bytes and redis.call('EXISTS', oldest) == 1) then break end
  redis.call('ZREM', KEY_ANSWERS_BY_USE, oldest)
  redis.call('DEL', oldest)
  forget_size(oldest)
  total = tonumber(redis.call('GET', KEY_ANSWERS_SIZE))
end
return ''
