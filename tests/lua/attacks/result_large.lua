-- expect: script_error too many values
local result = {}
for i = 1, 200000 do result[i] = i end
return result
