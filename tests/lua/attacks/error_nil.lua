-- expect: script_error an error that is a nil
error(nil)
