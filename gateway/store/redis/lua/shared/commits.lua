-- A commit that is sent again because its reply was lost counts once, and is answered as it was the
-- first time.
require 'shared/time'

-- Returns the photos that the commit returned before; nil for a new commit. Forgets old commits.
local function earlier_result(commit)
  local ids = redis.call('HGET', KEY_COMMIT_RESULTS, commit)
  if ids then
    local counted = {}
    for id in string.gmatch(ids, '[^\n]+') do counted[#counted + 1] = id end
    return counted
  end
  local oldest = redis_time() - COMMIT_REMEMBERED_S
  local old_commits = redis.call('ZRANGE', KEY_COMMITS, '-inf', oldest, 'BYSCORE',
                                 'LIMIT', 0, COMMITS_FORGOTTEN)
  for _, old in ipairs(old_commits) do
    redis.call('ZREM', KEY_COMMITS, old)
    redis.call('HDEL', KEY_COMMIT_RESULTS, old)
  end
end

local function remember_result(commit, counted)
  redis.call('ZADD', KEY_COMMITS, redis_time(), commit)
  redis.call('HSET', KEY_COMMIT_RESULTS, commit, table.concat(counted, '\n'))
end
