-- What the scripts share. All keys but photos' bytes begin with the same hash tag, so that a cluster keeps them in one
-- slot; KEYS[1] is that beginning.
local P = KEYS[1]

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

-- Whether a replica is known to live: one that is being taken for dead is not.
local function lives(replica)
  local until_ = redis.call('ZSCORE', P .. 'alive', replica)
  return until_ and until_ ~= '-inf'
end

local function entry_key(id) return P .. 'entry:' .. id end

-- Whether a photo counts as somebody's: one that is patient and of no job, the gateway asks about for itself.
local function counts(e) return (e.kind == '0' or e.job ~= '') and 1 or 0 end

local function add_room(kind, photos, bytes, pixels)
  local key = P .. 'room:' .. kind
  for measure, more in pairs({photos = photos, bytes = bytes, pixels = pixels}) do
    redis.call('HINCRBY', key, measure, string.format('%d', more))  -- Lua's own -0 is no integer to Redis
  end
  if redis.call('HGET', key, 'photos') == '0' then redis.call('DEL', key) end
end

local function charge(tenant, fields)
  local key = P .. 'ledger:' .. tenant
  redis.call('SADD', P .. 'tenants', tenant)
  for name, amount in pairs(fields) do
    if amount ~= 0 then redis.call('HINCRBYFLOAT', key, name, string.format('%.12g', amount)) end
  end
end

-- Start-time fair queueing between tenants, as gateway/store/memory/fair_queue.py describes it: kind '0' are photos whose clients
-- wait, '1' patient ones. `fair` holds each kind's time and each tenant's last tag, while the lane holds photos.
local function queue_key(kind, lane) return P .. 'queue:' .. kind .. ':' .. lane end

local function wait(id, e)
  local fair, at = P .. 'fair:' .. e.lane, e.kind .. '@' .. e.tenant
  local time = tonumber(redis.call('HGET', fair, e.kind) or '0')
  local tag = math.max(time, tonumber(redis.call('HGET', fair, at) or '0')) + 1
  redis.call('HSET', fair, at, tag)
  -- equal tags (of several tenants) go in the order of arrival: a counter breaks the tie
  local place = redis.call('HINCRBY', fair, '#', 1)
  redis.call('ZADD', queue_key(e.kind, e.lane), tag + (place % 1000000) / 10000000, id)
  redis.call('ZADD', P .. 'came:' .. e.lane, e.put_at, id)
  redis.call('ZADD', P .. 'due:' .. e.lane, e.due_at, id)
  redis.call('SADD', P .. 'lanes', e.lane)
end

local function lane_count(lane) return redis.call('ZCARD', P .. 'came:' .. lane) end

-- Takes a photo out of the lane that it waits in, if it waits.
local function unwait(id, lane)
  if redis.call('ZREM', P .. 'came:' .. lane, id) == 0 then return end
  redis.call('ZREM', P .. 'due:' .. lane, id)
  redis.call('ZREM', queue_key('0', lane), id)
  redis.call('ZREM', queue_key('1', lane), id)
  if lane_count(lane) == 0 then
    redis.call('SREM', P .. 'lanes', lane)
    redis.call('DEL', P .. 'fair:' .. lane)
  end
end

-- Wakes every replica where a lane holds a full grid, or a first photo.
local function wake(lane, cells, before)
  local after = lane_count(lane)
  if before == 0 or math.floor(after / cells) > math.floor(before / cells) then
    redis.call('PUBLISH', P .. 'bell', '1')
  end
end

local FIELDS = {'lane', 'kind', 'tenant', 'put_at', 'due_at', 'turn', 'tries', 'holder', 'owner', 'asked', 'claimed_at', 'bytes',
                'pixels', 'job', 'index', 'alone', 'meta'}

local function read(id)
  local values = redis.call('HMGET', entry_key(id), unpack(FIELDS))
  if not values[1] then return nil end
  local e = {}
  for i, name in ipairs(FIELDS) do e[name] = values[i] or '' end
  return e
end

-- Forgets a photo wherever it is. Its bytes are under a key of their own, which whoever called takes away.
local function leave(id, e)
  unwait(id, e.lane)
  redis.call('DEL', entry_key(id))
  redis.call('SREM', P .. 'held:' .. e.holder, id)
  redis.call('SREM', P .. 'own:' .. e.owner, id)
  add_room(e.kind, -1, -tonumber(e.bytes), -tonumber(e.pixels))
end

-- Tells the outcome to whom it belongs: the job, or the replica at which the client waits.
local function deliver(id, e, outcome, failed, billed)
  if e.job ~= '' then
    settle_job(e.job, e.index, outcome, failed, billed)
  elseif redis.call('ZSCORE', P .. 'alive', e.owner) then
    redis.call('HSET', P .. 'inbox:' .. e.owner, id, outcome)
    redis.call('PUBLISH', P .. 'bell:' .. e.owner, '1')
  end
end
