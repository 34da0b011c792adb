#!lua flags=allow-oom
-- Takes this replica off the list of the living: other replicas take its photos over.
-- ARGV: as in shared/reclaim.lua.
-- Returns the ids of photos that left the buffer.
require 'shared/reclaim'

redis.call('ZADD', KEY_ALIVE, 0, replica)
return reclaim(replica)
