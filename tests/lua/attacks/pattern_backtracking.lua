-- expect: killed
-- One C call, no hook inside.
return string.find(("a"):rep(30000), ".-.-.-.-b")
