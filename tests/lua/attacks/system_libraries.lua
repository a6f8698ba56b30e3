-- expect: value clean
for _, name in ipairs { "io", "os", "debug", "package", "dofile", "loadfile", "load", "rawset",
  "rawget", "rawequal", "rawlen", "collectgarbage", "warn", "_G", "jit", "ffi" } do
  local found = ({ pcall(function() return _ENV[name] end) })[2]
  if found ~= nil then return "found " .. name end
end
return "clean"
