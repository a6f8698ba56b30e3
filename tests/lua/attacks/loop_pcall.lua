-- expect: stopped
-- Swallows the end of its time, again and again.
while true do
  pcall(function() while true do end end)
end
