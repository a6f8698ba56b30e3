-- expect: value 0
-- As many empty strings as there are numbers: each would be a turn of a loop in C.
return tostring(#(""):rep(math.maxinteger))
