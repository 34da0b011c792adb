-- The meters of budgets: what was spent, and what is held for calls under way.

-- A key of holds that is not written for a day is of no call any more.
local function keep_a_day(key) redis.call('EXPIRE', key, DAY_S) end

-- Returns what is held on a meter. Forgets holds that ended by themselves.
local function held_on(meter, now)
  local key, sum = KEY_METER_HOLDS .. meter, 0
  local holds = redis.call('HGETALL', key)
  for i = 1, #holds, 2 do
    local hold = cjson.decode(holds[i + 1])
    if hold[2] <= now then
      redis.call('HDEL', key, holds[i])
    else
      sum = sum + hold[1]
    end
  end
  return sum
end

local function spent_on(meter) return tonumber(redis.call('GET', KEY_METER .. meter) or '0') end

local function add_to_meter(meter, amount)
  local key = KEY_METER .. meter
  redis.call('INCRBYFLOAT', key, amount)
  redis.call('EXPIRE', key, METERS_KEPT_S)
end

local function release_hold(replica, hold)
  local key = KEY_HOLDS .. replica
  for _, meter in ipairs(cjson.decode(redis.call('HGET', key, hold) or '[]')) do
    redis.call('HDEL', KEY_METER_HOLDS .. meter, hold)
  end
  redis.call('HDEL', key, hold)
end

-- Holds amounts, by meter, under one id.
local function write_hold(replica, hold, ends_at, amounts)
  local meters = {}
  for meter, amount in pairs(amounts) do
    local key = KEY_METER_HOLDS .. meter
    redis.call('HSET', key, hold, cjson.encode({amount, ends_at}))
    keep_a_day(key)
    meters[#meters + 1] = meter
  end
  if #meters > 0 then
    redis.call('HSET', KEY_HOLDS .. replica, hold, cjson.encode(meters))
    keep_a_day(KEY_HOLDS .. replica)
  end
end
