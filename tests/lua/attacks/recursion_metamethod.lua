-- expect: script_error stack overflow
local thing = setmetatable({}, {})
getmetatable(thing).__index = function(_, key) return thing[key .. "x"] end
return thing.a
