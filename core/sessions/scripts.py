"""The four steps of a session in Redis, each atomic, in Lua.

A session is a hash: `session` (JSON), `user`, and in microseconds since 1970 `created, confirmed, until, seen`; a
revoked one is only `revoked, until`. A user's mark is a hash `before, until`. Times are compared with the caller's
clock; the key's own expiry only takes the garbage away. Microseconds stay below 2^53, so Lua's doubles are exact, but
they are stored as the strings that came in: Lua would print them rounded.
"""

from typing import Final

# KEYS session; ARGV now, idle, touch, prefix of marks. Returns nil (not known), 0 (revoked) or the JSON.
# The mark's key is known only once the session is read: stores are single servers (or Sentinel), not Redis Cluster.
GET: Final = """
local held = redis.call('HMGET', KEYS[1], 'until', 'revoked', 'seen', 'user', 'created', 'session')
local now, idle = tonumber(ARGV[1]), tonumber(ARGV[2])
if not held[1] or now >= tonumber(held[1]) then return false end
if held[2] then return 0 end
local seen = tonumber(held[3])
if now >= seen + idle then return false end
local mark = redis.call('HMGET', ARGV[4] .. held[4], 'before', 'until')
if mark[1] and now < tonumber(mark[2]) and tonumber(held[5]) <= tonumber(mark[1]) then return 0 end
if now - seen >= tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'seen', ARGV[1])
  local left = math.min(tonumber(held[1]) - now, idle)
  redis.call('PEXPIRE', KEYS[1], string.format('%d', math.ceil(left / 1000)))
end
return held[6]
"""

# KEYS session, mark; ARGV now, idle, user, created, confirmed, until, seen, JSON. Returns 1, or 0 (revoked).
PUT: Final = """
local now = tonumber(ARGV[1])
local held = redis.call('HMGET', KEYS[1], 'until', 'revoked', 'confirmed', 'seen')
local known = held[1] and now < tonumber(held[1])
if known and held[2] then return 0 end
local mark = redis.call('HMGET', KEYS[2], 'before', 'until')
if mark[1] and now < tonumber(mark[2]) and tonumber(ARGV[4]) <= tonumber(mark[1]) then return 0 end
local seen, ends = ARGV[7], ARGV[6]
if known and tonumber(held[4]) > tonumber(seen) then seen = held[4] end
if known and tonumber(held[3]) > tonumber(ARGV[5]) then
  ends = held[1]
  redis.call('HSET', KEYS[1], 'seen', seen)
else
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'user', ARGV[3], 'created', ARGV[4], 'confirmed', ARGV[5],
             'until', ends, 'seen', seen, 'session', ARGV[8])
end
local left = math.min(tonumber(ends) - now, tonumber(seen) + tonumber(ARGV[2]) - now)
redis.call('PEXPIRE', KEYS[1], string.format('%d', math.ceil(left / 1000)))
return 1
"""

# KEYS session; ARGV until, milliseconds to keep it.
REVOKE: Final = """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'revoked', '1', 'until', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS mark; ARGV before, until, milliseconds to keep it. A mark never moves back.
REVOKE_ALL: Final = """
local known, before = redis.call('HGET', KEYS[1], 'before'), ARGV[1]
if known and tonumber(known) > tonumber(before) then before = known end
redis.call('HSET', KEYS[1], 'before', before, 'until', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
