#!lua flags=allow-oom
-- Notes that a canvas is about to be asked about, in case this replica dies before the answer.
-- ARGV: the replica; the canvas, or '' for a call that nobody is billed for; a CALL_ROW for each of
-- its photos.
-- Returns the ids of the photos that the replica still holds.
require 'shared/arguments'
require 'shared/entries'

local replica, canvas = argument(), argument()
local rows = other_rows(CALL_ROW)
local ids, shares = {}, {}
for _, photo in ipairs(rows) do
  local turn = redis.call('HGET', entry_key(photo.id), ENTRY_TURN)
  if turn == photo.turn then ids[#ids + 1] = photo.id end
  shares[photo.account] = (shares[photo.account] or 0) + tonumber(photo.share)
end
for _, id in ipairs(ids) do redis.call('HSET', entry_key(id), ENTRY_ASKED, canvas) end
if #ids > 0 and canvas ~= '' then
  redis.call('HSET', KEY_CALLS .. replica, canvas, cjson.encode(shares))
else
  redis.call('HDEL', KEY_CALLS .. replica, canvas)
end
return ids
