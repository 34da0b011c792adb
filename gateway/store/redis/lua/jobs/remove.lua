local function remove(id)
  local job = redis.call('HMGET', jobs_key('job', id), 'tenant', 'key')
  if job[1] then redis.call('ZREM', jobs_key('jobs', job[1]), id) end
  if job[2] and job[2] ~= '' and redis.call('HGET', job[2], 'job') == id then redis.call('DEL', job[2]) end
  for _, delivery in ipairs(redis.call('SMEMBERS', jobs_key('undelivered', id))) do
    redis.call('DEL', jobs_key('delivery', delivery))
    redis.call('ZREM', KEYS[1] .. 'undeliverable', delivery)
  end
  redis.call('ZREM', KEYS[1] .. 'accepting', id)
  redis.call('ZREM', KEYS[1] .. 'ended', id)
  redis.call('UNLINK', jobs_key('job', id), jobs_key('results', id), jobs_key('places', id), jobs_key('refused', id),
             jobs_key('undelivered', id))
end
