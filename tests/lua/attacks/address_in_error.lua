-- expect: script_error an error that is a table
error({})
