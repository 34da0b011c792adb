-- Takes photos out of the buffer.
require 'shared/entries'
require 'shared/jobs'
require 'shared/lanes'
require 'shared/occupancy'

-- Removes a photo wherever it is. The caller deletes its bytes, which are under a key of their own.
local function remove_entry(id, entry)
  dequeue(id, entry.lane)
  redis.call('DEL', entry_key(id))
  redis.call('SREM', KEY_CLAIMS .. entry.holder, id)
  redis.call('SREM', KEY_CLIENT_PHOTOS .. entry.owner, id)
  add_occupancy(entry.kind, entry.tenant, -1, -tonumber(entry.bytes), -tonumber(entry.pixels))
end

-- Hands an outcome to the photo's job, or to the replica at which its client waits.
local function deliver_outcome(id, entry, outcome, failed, billed)
  if entry.job ~= '' then
    settle_job(entry.job, entry.index, outcome, failed, billed, time_text(redis_time()))
  elseif redis.call('ZSCORE', KEY_ALIVE, entry.owner) then
    redis.call('HSET', KEY_INBOX .. entry.owner, id, outcome)
    redis.call('PUBLISH', KEY_REPLICA_BELL .. entry.owner, '1')
  end
end
