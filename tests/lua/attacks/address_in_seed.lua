-- expect: script_error
return math.randomseed()
