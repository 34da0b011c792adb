-- KEYS: a call's ids. ARGV: the run that ends, its reply or '', for how many ms to keep it.
-- What another run is at, or has kept, is left alone.
for _, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  if not known or known == '?' .. ARGV[1] then
    redis.call('DEL', key .. ':wanted')
    if ARGV[2] == '' then
      redis.call('DEL', key)
    else
      redis.call('SET', key, '=' .. ARGV[2], 'PX', ARGV[3])
    end
  end
end
return ''
