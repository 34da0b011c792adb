#!lua flags=allow-oom
-- Does all that follows from one answer, or from one failure.
-- ARGV: as in shared/commits.lua; the canvas whose call has ended, or ''; the id of the hold that
-- ends, or ''; then five lists, each with its length before it: a SETTLEMENT_ROW for each
-- photo that leaves with an outcome, a REQUEUE_ROW for each photo that waits again, the ids of
-- photos that leave without an outcome, a CHARGE_ROW for each account, a METER_ROW for each meter.
-- Returns the ids of the photos that were settled or wait again. A photo that another replica
-- claimed meanwhile is left alone.
require 'shared/arguments'
require 'shared/commits'
require 'shared/ledger'
require 'shared/meters'
require 'shared/removal'

local canvas, hold = argument(), argument()
local settlements, requeues = row_list(SETTLEMENT_ROW), row_list(REQUEUE_ROW)
local withdrawn_ids = {}
for i = 1, tonumber(argument()) do withdrawn_ids[i] = argument() end
local charges, meters = row_list(CHARGE_ROW), row_list(METER_ROW)

local earlier_ids = earlier_result()
if earlier_ids then return earlier_ids end

local function entry_of_turn(id, turn)
  local entry = read_entry(id)
  if entry and entry.turn == turn then return entry end
end

for _, charges_row in ipairs(charges) do charge(charges_row.account, charges_row) end
for _, row in ipairs(meters) do add_to_meter(row.meter, row.amount) end
if hold ~= '' then release_hold(replica, hold) end

local counted_ids = {}
for _, settlement in ipairs(settlements) do
  local id = settlement.id
  local entry = entry_of_turn(id, settlement.turn)
  if entry then
    local failed, billed = tonumber(settlement.failed), tonumber(settlement.billed)
    deliver_outcome(id, entry, settlement.outcome, failed, billed)
    remove_entry(id, entry)
    local account = settlement.account ~= '' and settlement.account or account_of(entry)
    charge(account, {photos = photo_count(entry), answered = settlement.answered,
                     alone_usd = settlement.alone_usd, cached = settlement.cached})
    counted_ids[#counted_ids + 1] = id
  end
end

for _, requeue in ipairs(requeues) do
  local id, lane = requeue.id, requeue.lane
  local entry = entry_of_turn(id, requeue.turn)
  if entry then
    dequeue(id, entry.lane)
    redis.call('SREM', KEY_CLAIMS .. entry.holder, id)
    add_occupancy(entry.kind, entry.tenant, 0, requeue.byte_count - entry.bytes,
                  requeue.pixels - entry.pixels)
    entry.lane, entry.put_at, entry.due_at = lane, requeue.put_at, requeue.due_at
    redis.call('HSET', entry_key(id), ENTRY_LANE, lane, ENTRY_PUT_AT, requeue.put_at,
               ENTRY_DUE_AT, requeue.due_at, ENTRY_BYTES, requeue.byte_count,
               ENTRY_PIXELS, requeue.pixels, ENTRY_META, requeue.meta,
               ENTRY_ALONE, requeue.alone_lane, ENTRY_TRIES, 0, ENTRY_HOLDER, '', ENTRY_ASKED, '')
    local size_before = lane_size(lane)
    enqueue(id, entry)
    wake_replicas(lane, tonumber(requeue.cells), size_before)
    counted_ids[#counted_ids + 1] = id
  end
end

for _, id in ipairs(withdrawn_ids) do
  local entry = read_entry(id)
  if entry then
    remove_entry(id, entry)
    charge(account_of(entry), {photos = photo_count(entry)})
  end
end

-- A replica that took this one for dead has charged the call as one that may be billed: that charge
-- is taken back.
if canvas ~= '' and redis.call('HDEL', KEY_CALLS .. replica, canvas) == 0 then
  local shares = redis.call('HGET', KEY_UNSURE_CALLS, canvas)
  for account, share in pairs(cjson.decode(shares or '{}')) do
    charge(account, {unknown = -share})
  end
  redis.call('HDEL', KEY_UNSURE_CALLS, canvas)
end
remember_result(counted_ids)
return counted_ids
