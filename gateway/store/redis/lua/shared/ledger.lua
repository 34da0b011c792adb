-- The accounts of a day and tenant are a hash: by the text of the account's key the amounts, in the
-- order of ACCOUNT_FIELDS, each as AMOUNT_FORMAT. A key's text is a JSON list that begins with the
-- tenant, or the tenant's name alone in what releases before keys wrote.
require 'shared/time'

local function key_of(account)
  return string.sub(account, 1, 1) == '[' and cjson.decode(account) or {account}
end

-- Returns the account that takes a new account's charges, where its tenant has MOST_ROWS already.
local function overflow_of(account)
  local key = key_of(account)
  return cjson.encode({key[1], OTHER, OTHER, key[4] or '', key[5] or '', key[6] or ''})
end

-- Forgets days that are no longer kept, and lists a new one.
local function begin_day(day, name)
  local oldest = day - ACCOUNTS_KEPT_DAYS
  redis.call('ZREMRANGEBYSCORE', KEY_ACCOUNT_DAYS, '-inf', oldest)
  redis.call('ZADD', KEY_ACCOUNT_DAYS, day, name)
end

-- Adds amounts, by the fields of an account, to an account of today.
local function charge(account, amounts)
  local day = math.floor(redis_time() / DAY_S)
  local name = string.format('%d:%s', day, key_of(account)[1])
  local key = KEY_ACCOUNTS .. name
  local packed = redis.call('HGET', key, account)
  if not packed then
    local rows = redis.call('HLEN', key)
    if rows >= MOST_ROWS then
      account = overflow_of(account)
      packed = redis.call('HGET', key, account)
    end
    if rows == 0 then begin_day(day, name) end
  end
  local parts = {}
  for i, field in ipairs(ACCOUNT_FIELDS) do
    local at = (i - 1) * AMOUNT_BYTES + 1
    local sum = tonumber(amounts[field] or 0)
    if packed and #packed >= at + AMOUNT_BYTES - 1 then
      sum = sum + struct.unpack(AMOUNT_FORMAT, packed, at)
    end
    parts[i] = struct.pack(AMOUNT_FORMAT, sum)
  end
  -- what a later release counts beside is kept
  if packed then parts[#parts + 1] = string.sub(packed, #ACCOUNT_FIELDS * AMOUNT_BYTES + 1) end
  redis.call('HSET', key, account, table.concat(parts))
  if redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, ACCOUNTS_KEPT_DAYS * DAY_S) end
end
