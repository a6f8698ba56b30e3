-- expect: script_error
return select("#", string.byte(("x"):rep(3000000), 1, -1))
