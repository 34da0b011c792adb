-- Returns whether a replica is known to live. One that is being taken for dead is not.
local function is_registered(replica)
  local lease_end = redis.call('ZSCORE', KEY_ALIVE, replica)
  return lease_end and lease_end ~= '-inf'
end
