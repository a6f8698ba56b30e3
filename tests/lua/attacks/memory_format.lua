-- expect: out_of_memory
local zeros = ("\0"):rep(8000000)
return #string.format("%q%q%q%q%q%q%q%q", zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros)
