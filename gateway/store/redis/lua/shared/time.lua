-- Returns the time of Redis in Unix seconds.
local function redis_time()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- Returns a time to the microsecond, as it is stored.
local function time_text(time) return string.format('%.6f', time) end
