-- A commit that is sent again because its reply was lost counts once, and is answered as it was the
-- first time, after an outage of any length: each replica's commits are remembered until it says
-- that it has their replies. Those of a dead replica are remembered for COMMITS_KEPT_S.
-- ARGV: the commit's id; the replica; the ids of commits whose replies it has, with their number
-- before them.
require 'shared/arguments'

local commit, replica = argument(), argument()
local replied_commits = {}
for i = 1, tonumber(argument()) do replied_commits[i] = argument() end

-- Returns the photos that the commit returned before; nil for a new commit.
local function earlier_result()
  local key = KEY_COMMITS .. replica
  for _, replied in ipairs(replied_commits) do redis.call('HDEL', key, replied) end
  local ids = redis.call('HGET', key, commit)
  if not ids then return nil end
  local counted = {}
  for id in string.gmatch(ids, '[^\n]+') do counted[#counted + 1] = id end
  return counted
end

local function remember_result(counted)
  redis.call('HSET', KEY_COMMITS .. replica, commit, table.concat(counted, '\n'))
  redis.call('PERSIST', KEY_COMMITS .. replica)
end
