-- The deliveries that are still to be made, by the hosts of their URLs.

-- Notes when a host is to be looked at again: when its first delivery is due or, if all its leases
-- are given out until later than that, when the first of these ends.
local function reschedule_host(host)
  local first = redis.call('ZRANGE', KEY_HOST_DELIVERIES .. host, 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', KEY_HOSTS, host)
    redis.call('ZREM', KEY_BUSY_HOSTS, host)
    return
  end
  local due_at, leases = tonumber(first[2]), KEY_HOST_LEASES .. host
  local free_at = due_at
  if redis.call('ZCARD', leases) >= PER_HOST then
    free_at = tonumber(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2])
  end
  if free_at > due_at then
    redis.call('ZREM', KEY_HOSTS, host)
    redis.call('ZADD', KEY_BUSY_HOSTS, free_at, host)
  else
    redis.call('ZREM', KEY_BUSY_HOSTS, host)
    redis.call('ZADD', KEY_HOSTS, due_at, host)
  end
end

-- Lists an ended job among those that are forgotten some time after their end; not while a delivery
-- of it is still to be made.
local function reschedule_forgetting(job_id)
  local job = redis.call('HMGET', KEY_JOB .. job_id, JOB_FINISHED_AT, JOB_TELLING)
  local finished_at, deliveries = job[1], job[2]
  if finished_at and finished_at ~= '' and deliveries == '0' then
    redis.call('ZADD', KEY_ENDED_JOBS, finished_at, job_id)
  else
    redis.call('ZREM', KEY_ENDED_JOBS, job_id)
  end
end
