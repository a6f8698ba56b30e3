-- expect: script_error nested too deep
local result = {}
result.again = result
return result
