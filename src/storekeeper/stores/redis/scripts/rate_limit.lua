-- Counts one call in a fixed window, unless the window is full.
--
-- KEYS[1]  the counter: a plain string, living for one window from its first call
-- ARGV[1]  limit, calls a window
-- ARGV[2]  window, milliseconds
--
-- Returns {allowed, count, left}: 1 or 0, calls counted in this window, milliseconds until it ends.
-- The time is the server's. A refused call is not counted, and does not lengthen the window.

local limit = tonumber(ARGV[1])
local window_ms = tonumber(ARGV[2])
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
local left_ms = redis.call('PTTL', KEYS[1])
local allowed = 0

-- what is no number is for INCR to refuse
if count == nil or count < limit then
  count = redis.call('INCR', KEYS[1])
  allowed = 1
end

-- A new counter has no end yet. One that lost it, or ends later than a window from now, would lock its user out.
if left_ms < 0 or left_ms > window_ms then
  redis.call('PEXPIRE', KEYS[1], window_ms)
  left_ms = window_ms
end

return {allowed, count, left_ms}
