-- expect: stopped
local thing = setmetatable({}, { __index = function() while true do end end })
return thing.field
