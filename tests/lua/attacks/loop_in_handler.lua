-- expect: killed
-- The handler of an error that the hook raised runs without the hook.
xpcall(function() while true do end end, function() while true do end end)
