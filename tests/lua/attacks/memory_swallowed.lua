-- expect: stopped
-- Running out of memory may be caught; that doesn't give more of it.
local list = {}
while true do pcall(function() list[#list + 1] = ("x"):rep(100000) .. #list end) end
