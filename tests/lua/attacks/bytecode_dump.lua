-- expect: script_error
return string.dump(function() end)
