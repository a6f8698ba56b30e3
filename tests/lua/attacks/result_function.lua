-- expect: script_error a function can't be JSON
return { call = print }
