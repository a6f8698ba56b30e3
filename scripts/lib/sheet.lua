-- Many pictures in one, side by side, and the index that tells players where each of them stands.

local sheet = {}

-- How so many tiles of a size stand together: columns, rows, and the size of the whole.
function sheet.layout(count, columns, width, height)
  columns = math.min(columns, count)
  local rows = (count + columns - 1) // columns
  return {
    columns = columns, rows = rows, tile_width = width, tile_height = height,
    width = columns * width, height = rows * height,
  }
end

-- One picture of all frames. Formats that share colours between pixels would mix those of
-- neighbours where tiles have an odd size.
function sheet.draw(frames, layout)
  return frames:format("rgb24"):tile { layout = ("%dx%d"):format(layout.columns, layout.rows) }
end

local function clock(seconds)
  local thousandths = math.floor(seconds * 1000 + 0.5)
  return ("%02d:%02d:%02d.%03d"):format(thousandths // 3600000, thousandths // 60000 % 60,
    thousandths // 1000 % 60, thousandths % 1000)
end

-- A file's name as a URL has it.
local function address(name)
  return (name:gsub("[^%w%-._~]", function(letter)
    return ("%%%02X"):format(letter:byte())
  end))
end

-- WebVTT with a part of the sheet for all of the time: at each moment the picture whose own time,
-- one of `times`, is nearest.
function sheet.index(name, times, stop, layout)
  local lines = { "WEBVTT", "" }
  local url = address(name)
  for number, time in ipairs(times) do
    local before, after = times[number - 1], times[number + 1]
    local from = clock(before and (before + time) / 2 or 0)
    local to = clock(after and (time + after) / 2 or math.max(stop, time + 0.001))
    if from < to then -- the same time twice: the later picture has it
      local x = (number - 1) % layout.columns * layout.tile_width
      local y = (number - 1) // layout.columns * layout.tile_height
      table.insert(lines, ("%s --> %s"):format(from, to))
      table.insert(lines, ("%s#xywh=%d,%d,%d,%d"):format(url, x, y, layout.tile_width,
        layout.tile_height))
      table.insert(lines, "")
    end
  end
  return table.concat(lines, "\n")
end

return sheet
