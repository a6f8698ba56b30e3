-- expect: stopped
while true do end
