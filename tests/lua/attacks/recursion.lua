-- expect: out_of_memory
local function deeper() return 1 + deeper() end
return deeper()
