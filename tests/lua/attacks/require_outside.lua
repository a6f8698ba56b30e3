-- expect: script_error
return require "os"
