-- expect: script_error too many elements
return table.unpack({}, math.mininteger, math.maxinteger)
