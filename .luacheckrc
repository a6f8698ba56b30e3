std = "lua54"
max_line_length = 100
files["scripts/**/*.lua"] = { std = { read_globals = {
  "av", "log", "require", "assert", "error", "ipairs", "next", "pairs", "pcall", "print",
  "select", "setmetatable", "getmetatable", "tonumber", "tostring", "type", "xpcall",
  "string", "table", "math", "utf8", "coroutine",
} } }
exclude_files = { "tests/lua/attacks" } -- they do what is wrong
