-- expect: script_error resulting string too large
return ("ab"):rep(math.maxinteger // 2, "cd")
