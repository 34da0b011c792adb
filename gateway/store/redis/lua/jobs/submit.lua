#!lua
-- Begins to accept a job; a job without photos in the buffer is accepted at once.
-- ARGV: the time; the job's id; the key of its idempotency key, or ''; the digest of the request;
-- how many seconds the key lasts; how many arguments with fields and values follow; fields and
-- values of the job; then index and outcome of each photo that was refused.
-- Returns '' and the job's id, or a reply SUBMIT_ and the id of the earlier job of the key.
require 'shared/jobs'
require 'shared/remove_job'

local now, id, key, digest, lasts_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local first_refusal = 7 + tonumber(ARGV[6])

-- Returns the reply if the key belongs to an earlier job, after removing one that was left while it
-- was being accepted.
local function earlier_reply()
  local earlier = redis.call('HMGET', key, IDEMPOTENCY_JOB, IDEMPOTENCY_DIGEST, IDEMPOTENCY_UNTIL)
  local earlier_id, is_same, lasts_until = earlier[1], earlier[2] == digest, earlier[3]
  if not earlier_id or tonumber(lasts_until) <= tonumber(now) then return nil end
  accept_if_put(earlier_id, now)
  local state = redis.call('HGET', KEY_JOB .. earlier_id, JOB_STATE)
  if not state then return nil end
  if not is_same then return {SUBMIT_CONFLICT, earlier_id} end
  if state ~= ACCEPTING then return {SUBMIT_KNOWN, earlier_id} end
  local began_at = tonumber(redis.call('ZSCORE', KEY_ACCEPTING_JOBS, earlier_id) or now)
  if tonumber(now) - began_at < STALE_JOB_S then return {SUBMIT_BUSY, ''} end
  remove_job(earlier_id)
end

if key ~= '' then
  local reply = earlier_reply()
  if reply then return reply end
  redis.call('HSET', key, IDEMPOTENCY_JOB, id, IDEMPOTENCY_DIGEST, digest,
             IDEMPOTENCY_UNTIL, tonumber(now) + lasts_s)
  redis.call('EXPIRE', key, lasts_s)
end
redis.call('HSET', KEY_JOB .. id, JOB_STATE, ACCEPTING, unpack(ARGV, 7, first_refusal - 1))
redis.call('ZADD', KEY_ACCEPTING_JOBS, now, id)
for i = first_refusal, #ARGV, 2 do redis.call('RPUSH', KEY_REFUSALS .. id, ARGV[i], ARGV[i + 1]) end
if redis.call('HGET', KEY_JOB .. id, JOB_FIRST) == '' then accept_job(id, now) end
return {'', id}
