-- expect: script_error stack overflow
local function nest() return coroutine.wrap(function() return nest() end)() end
return nest()
