-- expect: out_of_memory
local function chain(f) return chain(function() return f end) end
return chain(print)
