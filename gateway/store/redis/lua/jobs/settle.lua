-- Jobs as every script may have to change them: the buffer's, when a photo of a job settles, and the store's own. Comes
-- before all of them, so each name of a key begins with KEYS[1] anew.
--   job:ID           the job, a hash; `telling` counts its deliveries that are to be made
--   results:ID       index and outcome of each settled photo, in the order in which they came
--   places:ID        a bit for each photo that is settled
--   refused:ID       index and outcome of photos that were refused, until the job is accepted
--   undelivered:ID   its dead deliveries
--   jobs:TENANT      accepted jobs by id
--   accepting, ended jobs by when they came; by when they ended, and nothing of them is to be delivered
--   delivery:ID      a delivery, a hash
--   telling:HOST     deliveries of a host by when they are due; those under lease also in leased:HOST, until when
--   hosts            hosts by when there is something to do for them
--   undeliverable    dead deliveries by when they were created
local PER_HOST = 8

local function jobs_key(kind, name) return KEYS[1] .. kind .. ':' .. name end

local function jobs_now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

-- Notes when to look at a host again: when its first delivery is due or, where all leases are given out until later
-- than that, when the first of them ends.
local function look_again(host)
  local first = redis.call('ZRANGE', jobs_key('telling', host), 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', KEYS[1] .. 'hosts', host)
    redis.call('ZREM', KEYS[1] .. 'full', host)
    return
  end
  local at, leased = tonumber(first[2]), jobs_key('leased', host)
  local free_at = at
  if redis.call('ZCARD', leased) >= PER_HOST then
    free_at = tonumber(redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES')[2])
  end
  local full = free_at > at
  redis.call('ZREM', KEYS[1] .. (full and 'hosts' or 'full'), host)
  redis.call('ZADD', KEYS[1] .. (full and 'full' or 'hosts'), full and free_at or at, host)
end

-- A job that has ended is forgotten some time after; not while something of it is to be delivered.
local function rest(id)
  local job = redis.call('HMGET', jobs_key('job', id), 'finished_at', 'telling')
  if job[1] and job[1] ~= '' and job[2] == '0' then
    redis.call('ZADD', KEYS[1] .. 'ended', job[1], id)
  else
    redis.call('ZREM', KEYS[1] .. 'ended', id)
  end
end

local function tell(id, kind, now, index, number)
  local job = redis.call('HMGET', jobs_key('job', id), 'tenant', 'url', 'host')
  local tenant, url, host = job[1], job[2], job[3]
  if url == '' then return end
  local delivery = id .. '-' .. (number > 0 and index or 'end')
  redis.call('HSET', jobs_key('delivery', delivery), 'id', delivery, 'tenant', tenant, 'job', id, 'kind', kind,
             'index', index, 'url', url, 'host', host, 'attempts', 0, 'due_at', now, 'created_at', now,
             'last_error', '', 'number', number, 'dead', 0)
  redis.call('ZADD', jobs_key('telling', host), now, delivery)
  redis.call('HINCRBY', jobs_key('job', id), 'telling', 1)
  look_again(host)
end

local function end_job(id, state, now)
  redis.call('HSET', jobs_key('job', id), 'state', state, 'finished_at', now)
  tell(id, 'job.' .. state, now, 0, 0)
  rest(id)
end

local function record(id, index, outcome, failed, billed, now)
  local key = jobs_key('job', id)
  local job = redis.call('HMGET', key, 'state', 'photos', 'each')
  if job[1] ~= 'running' or tonumber(index) >= tonumber(job[2]) then return end
  if redis.call('SETBIT', jobs_key('places', id), index, 1) == 1 then return end
  local number = redis.call('RPUSH', jobs_key('results', id), index .. ':' .. outcome)
  redis.call('HSET', key, 'settled', number)
  redis.call('HINCRBY', key, 'failed', failed)
  redis.call('HINCRBYFLOAT', key, 'billed', string.format('%.17g', billed))
  if job[3] == '1' then tell(id, 'photo.settled', now, index, number) end
  if number == tonumber(job[2]) then end_job(id, 'done', now) end
end

-- From here on a job is there for everybody. Does nothing for one that is accepted already.
local function accept_job(id, now)
  local key = jobs_key('job', id)
  if redis.call('HGET', key, 'state') ~= 'accepting' then return end
  redis.call('HSET', key, 'state', 'running')
  redis.call('ZREM', KEYS[1] .. 'accepting', id)
  redis.call('ZADD', jobs_key('jobs', redis.call('HGET', key, 'tenant')), 0, id)
  local refused = redis.call('LRANGE', jobs_key('refused', id), 0, -1)
  for i = 1, #refused, 2 do record(id, refused[i], refused[i + 1], 1, 0, now) end
  redis.call('DEL', jobs_key('refused', id))
end

-- All of a job's photos came into the buffer at once, or none: one that is there shows that the job is accepted, though
-- whoever handed it in has died before it could say so.
local function accept_if_taken(id, now)
  local first = redis.call('HGET', jobs_key('job', id), 'first')
  if first and redis.call('EXISTS', jobs_key('entry', first)) == 1 then accept_job(id, now) end
end

-- What became of a photo: written down once, and never after its job has ended. `now` is Redis' own time by default.
local function settle_job(id, index, outcome, failed, billed, now)
  now = now or jobs_now()
  accept_job(id, now)
  record(id, index, outcome, tonumber(failed), tonumber(billed), now)
end
