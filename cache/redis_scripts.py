"""What runs inside Redis: the guard of the second tier.

One hash holds the clock (field `+`, microseconds that only grow) and the marks: `NUMBER VERSION`, when it was last
invalidated and by which change. An entry is `TICKET VERSION MARK,MARK…` on its first line, then the body; it is fresh
while none of its marks carries a later number or a higher version. That is asked when it is stored and each time it is
read, so a value that was read before an invalidation is never given out after it, however late it was stored. Losing
the hash loses no safety: it begins anew with mark `*`, which every entry carries, at the time of day.
"""

import hashlib
from typing import Any, Final, Protocol

_SHARED: Final = """
local function now_after(last)
  local time = redis.call('TIME')
  return math.max(last + 1, time[1] * 1000000 + time[2])
end
local function begin(clock)
  local last = redis.call('HGET', clock, '+')
  if last then return tonumber(last) end
  local now = now_after(0)
  redis.call('HSET', clock, '*', string.format('%.0f -1', now), '+', string.format('%.0f', now))
  return now
end
local function is_fresh(clock, entry)
  local ticket, version, names = string.match(entry, '^(%d+) (%-?%d+) ([^\\n]*)\\n')
  if not ticket then return false end
  ticket, version = tonumber(ticket), tonumber(version)
  local marks = {}
  for name in string.gmatch(names, '[^,]+') do marks[#marks + 1] = name end
  local states = redis.call('HMGET', clock, '*', unpack(marks))
  if not states[1] then return false end
  for i = 1, #states do
    if states[i] then
      local number, change = string.match(states[i], '^(%d+) (%-?%d+)$')
      if tonumber(number) > ticket then return false end
      if version >= 0 and tonumber(change) > version then return false end
    end
  end
  return true
end
"""

_LOOKUP: Final = """
local ticket = string.format('%.0f', begin(KEYS[2]))
local entry = redis.call('GET', KEYS[1])
if not entry then return {false, 0, ticket} end
if not is_fresh(KEYS[2], entry) then
  redis.call('DEL', KEYS[1])
  return {false, 0, ticket}
end
return {string.sub(entry, string.find(entry, '\\n', 1, true) + 1), redis.call('PTTL', KEYS[1]), ticket}
"""

_STORE: Final = """
if not is_fresh(KEYS[2], ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_STAMP: Final = """
local now = now_after(begin(KEYS[1]))
for i = 1, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  local change = tonumber(ARGV[i + 1])
  if held then change = math.max(change, tonumber(string.match(held, ' (%-?%d+)$'))) end
  redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f %.0f', now, change))
end
now = string.format('%.0f', now)
redis.call('HSET', KEYS[1], '+', now)
return now
"""


class Client(Protocol):
    """What a script needs of redis.Redis."""

    def execute_command(self, *args: Any) -> Any:
        """Run a command and return its reply."""

    def close(self) -> None:
        """Close the connections."""


class Script:
    """A script that is sent once and then called by its hash."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: Client, keys: tuple[bytes, ...], *values: object) -> Any:
        """Run it and return its reply.

        Raises:
            redis.RedisError: the server cannot be reached or refuses.
        """
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - an extra

        try:
            return client.execute_command("EVALSHA", self._hash, len(keys), *keys, *values)
        except NoScriptError:  # the first call since the server started
            return client.execute_command("EVAL", self._text, len(keys), *keys, *values)


LOOKUP: Final = Script(_SHARED + _LOOKUP)
STORE: Final = Script(_SHARED + _STORE)
STAMP: Final = Script(_SHARED + _STAMP)
