-- expect: stopped
while true do print(("x"):rep(500)) end
