-- expect: script_error
getmetatable("").__index = { upper = function() return "mine" end }
