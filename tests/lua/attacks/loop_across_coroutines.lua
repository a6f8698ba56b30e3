-- expect: stopped
-- Each new coroutine begins with a hook of its own.
while true do
  coroutine.resume(coroutine.create(function() while true do end end))
end
