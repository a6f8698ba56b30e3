-- expect: script_error
local function again() error("again") end
local ok, why = xpcall(again, function() again() end)
error(why, 0)
