-- expect: value safe
-- Neither next nor pairs hands out the table that is behind a view.
local seen
for key in pairs(string) do seen = key end
local iterate, state = pairs(string)
if not seen or state == string or type(state) == "table" then return "leaked" end
if pcall(setmetatable, string, {}) then return "metatable replaced" end
return "safe"
