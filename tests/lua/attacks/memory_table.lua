-- expect: out_of_memory
local list = {}
while true do list[#list + 1] = { #list } end
