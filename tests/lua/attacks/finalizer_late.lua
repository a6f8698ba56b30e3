-- expect: value done
-- A finalizer that is added later is never noticed; closing the state must not run it.
local meta = {}
local value = setmetatable({}, meta)
meta.__gc = function() while true do end end
value = nil
return "done"
