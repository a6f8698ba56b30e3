-- expect: script_error
return string.find("x", ("("):rep(500))
