-- expect: script_error too many elements
local liar = setmetatable({}, { __len = function() return 1 << 40 end,
  __newindex = function() end })
table.insert(liar, 1, "x")
