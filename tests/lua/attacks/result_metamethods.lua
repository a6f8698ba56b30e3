-- expect: value {}
-- Metamethods of a result are never run.
return setmetatable({}, { __pairs = function() while true do end end,
  __index = function() while true do end end, __len = function() return 1 << 40 end })
