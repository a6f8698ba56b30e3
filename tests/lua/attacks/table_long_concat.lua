-- expect: script_error too many elements
local endless = setmetatable({}, { __index = function() return "x" end })
return table.concat(endless, "", 1, math.maxinteger)
