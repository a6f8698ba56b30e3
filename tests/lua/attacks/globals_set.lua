-- expect: script_error globals are read-only
answer = 42
