-- expect: script_error string is read-only
string.upper = function() return "mine" end
