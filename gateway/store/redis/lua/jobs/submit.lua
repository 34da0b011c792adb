-- ARGV: the time, the job's id, its idempotency key's name (or ''), digest, how long the key lasts, how many fields
-- follow, fields and values; then index and outcome of each photo that was refused.
-- Returns '' and the job's id, or what is in the way: 'known' and the earlier job's id, 'busy', 'conflict'.
local STALE_S = 10  -- whoever began so long ago has given up, or will find itself overtaken
local now, id, key, digest, lasts_s, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
if key ~= '' then
  local known = redis.call('HMGET', key, 'job', 'digest', 'until')
  if known[1] and tonumber(known[3]) > tonumber(now) then
    accept_if_taken(known[1], now)
    local state = redis.call('HGET', jobs_key('job', known[1]), 'state')
    if state == 'accepting' and known[2] == digest then
      local since = tonumber(redis.call('ZSCORE', KEYS[1] .. 'accepting', known[1]) or now)
      if tonumber(now) - since < STALE_S then return {'busy', ''} end
      remove(known[1])
      state = false
    end
    if state then return {known[2] == digest and 'known' or 'conflict', known[1]} end
  end
  redis.call('HSET', key, 'job', id, 'digest', digest, 'until', tonumber(now) + lasts_s)
  redis.call('EXPIRE', key, lasts_s)
end
redis.call('HSET', jobs_key('job', id), 'state', 'accepting', unpack(ARGV, 7, 6 + count))
redis.call('ZADD', KEYS[1] .. 'accepting', now, id)
for i = 7 + count, #ARGV, 2 do redis.call('RPUSH', jobs_key('refused', id), ARGV[i], ARGV[i + 1]) end
if redis.call('HGET', jobs_key('job', id), 'first') == '' then accept_job(id, now) end
return {'', id}
