-- expect: script_error
("").upper = 1
