-- expect: script_error nested too deep
local result = {}
local at = result
for _ = 1, 100000 do at.n = {} at = at.n end
return result
