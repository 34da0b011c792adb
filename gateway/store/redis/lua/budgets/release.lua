#!lua flags=allow-oom
-- Releases a hold.
-- ARGV: the replica; the id of the hold.
require 'shared/arguments'
require 'shared/meters'

local replica, hold = argument(), argument()
release_hold(replica, hold)
