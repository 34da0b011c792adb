-- This replica goes: what it held is for others now.
redis.call('ZADD', P .. 'alive', 0, replica)
return reclaim(replica)
