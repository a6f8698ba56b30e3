-- expect: out_of_memory
local text = "x"
while true do text = text .. text end
