-- expect: out_of_memory
local guard <close> = setmetatable({}, { __close = function()
  local list = {}
  while true do list[#list + 1] = ("x"):rep(10000) .. #list end
end })
error("start")
