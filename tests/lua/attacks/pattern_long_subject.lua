-- expect: script_error too long for a pattern
return string.find(("("):rep(2000000), "%b()")
