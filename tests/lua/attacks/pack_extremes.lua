-- expect: value refused
for _, try in ipairs {
  function() return string.unpack("s8", ("\255"):rep(8) .. "abc") end,
  function() return string.pack("i17", 1) end,
  function() return string.unpack("i4", "abcd", math.maxinteger) end,
  function() return string.pack("c2147483647", "") end,
} do
  if pcall(try) then return "taken" end
end
return "refused"
