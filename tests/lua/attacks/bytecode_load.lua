-- expect: script_error
-- There is nothing that turns data into code.
local make = load or loadstring or dofile or loadfile
return make("\27Lua")
