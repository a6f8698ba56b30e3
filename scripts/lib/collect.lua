-- Notes on many inputs, gathered so that a hundred of them don't make a hundred notes.

local collect = {}

-- Which inputs something is true of, by name; of many only the first.
local function names(parts)
  local list = {}
  for number, part in ipairs(parts) do
    if number > 3 then
      return ("%s and %d more"):format(table.concat(list, ", "), #parts - 3)
    end
    table.insert(list, part.name)
  end
  return table.concat(list, ", ")
end

-- A place for reasons: `add(what, why, part)` keeps one, `tell()` notes each with its inputs.
function collect.notes(job)
  local reasons, order = {}, {}
  return {
    add = function(what, why, part)
      local key = what .. ": " .. why
      if not reasons[key] then
        reasons[key] = {}
        table.insert(order, key)
      end
      table.insert(reasons[key], part)
    end,
    tell = function()
      for _, key in ipairs(order) do
        job:note(("%s (%s)"):format(key, names(reasons[key])))
      end
    end,
  }
end

return collect
