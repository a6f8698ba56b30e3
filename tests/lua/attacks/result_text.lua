-- expect: script_error too much text
return { text = ("x"):rep(3000000) }
