-- expect: script_error
-- Lua's own wrap closes a coroutine that failed and forgets how deep it is: a crash.
local function nest()
  local guard <close> = setmetatable({}, { __close = function() coroutine.wrap(nest)() end })
  error("deeper")
end
coroutine.wrap(nest)()
