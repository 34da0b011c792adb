-- Removes a job with all that belongs to it, but for its photos in the buffer.
local function remove_job(id)
  local job = redis.call('HMGET', KEY_JOB .. id, JOB_TENANT, JOB_KEY)
  local tenant, idempotency_key = job[1], job[2]
  if tenant then redis.call('ZREM', KEY_TENANT_JOBS .. tenant, id) end
  if idempotency_key and idempotency_key ~= '' then
    local latest_job = redis.call('HGET', idempotency_key, IDEMPOTENCY_JOB)
    if latest_job == id then redis.call('DEL', idempotency_key) end
  end
  for _, delivery in ipairs(redis.call('SMEMBERS', KEY_DEAD_DELIVERIES_OF_JOB .. id)) do
    redis.call('DEL', KEY_DELIVERY .. delivery)
    redis.call('ZREM', KEY_DEAD_DELIVERIES, delivery)
  end
  redis.call('ZREM', KEY_ACCEPTING_JOBS, id)
  redis.call('ZREM', KEY_ENDED_JOBS, id)
  redis.call('UNLINK', KEY_JOB .. id, KEY_RESULTS .. id, KEY_SETTLED_BITS .. id, KEY_REFUSALS .. id,
             KEY_DEAD_DELIVERIES_OF_JOB .. id)
end
