-- expect: value table function thread table table:function
local shown = ("%s"):format({}) .. ":" .. tostring(print)
local ok = pcall(string.format, "%p", {})
if ok or tostring({}):find("0x") then return "leaked" end
return table.concat({ tostring({}), tostring(print), tostring(coroutine.create(print)), "table",
  shown }, " ")
