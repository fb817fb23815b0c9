-- Writes a hash with its time to live, unless what is there is as new or newer.
--
-- KEYS[1]  the hash
-- ARGV[1]  time to live, milliseconds; 0 for ever
-- ARGV[2]  the field that holds the hash's time: ISO 8601 in UTC, ending in Z
-- ARGV[3…] fields and their values, in turn
--
-- Returns 1 where it was written, 0 where not. What is there without such a time is replaced.

local function comparable(text)
  local whole, fraction = string.match(text or '', '^(%d+%-%d+%-%d+T%d+:%d+:%d+)%.?(%d*)Z$')
  if whole == nil then
    return nil
  end
  -- texts are compared: without a fraction, or with a shorter one, they would be out of order
  return whole .. '.' .. string.sub(fraction .. '000000', 1, 6)
end

local time
for place = 3, #ARGV, 2 do
  if ARGV[place] == ARGV[2] then
    time = comparable(ARGV[place + 1])
  end
end
if time == nil then
  return redis.error_reply('no time in the field ' .. ARGV[2])
end

local there = comparable(redis.call('HGET', KEYS[1], ARGV[2]) or '')
if there ~= nil and there >= time then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
if tonumber(ARGV[1]) > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
