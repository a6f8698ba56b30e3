-- Which pictures tell most of a film, found among its keyframes.

local scenes = {}

local most_looked_at = 1000 -- keyframes, spread evenly where there are more

local function thinned(list, most)
  if #list <= most then
    return list
  end
  local kept = {}
  for number = 1, most do
    kept[number] = list[(number - 1) * (#list - 1) // (most - 1) + 1]
  end
  return kept
end

-- Small pictures of the keyframes: the time of each, how light it is (16 to 235), how rich in tones
-- (0 to 1), and how much it differs from the one before (0 to 255).
local function look(source, times)
  local small = source:at(times, { keyframe = true })
    :scale { w = 64, h = 64, flags = "area" }:format("yuv420p"):signalstats():entropy()
  local pictures = {}
  for number, told in ipairs(av.measure(small, { each = true }).each) do
    pictures[number] = {
      time = times[number],
      light = told.signalstats.yavg,
      worth = told.entropy.normalized_entropy.normal.y,
      change = number > 1 and told.signalstats.ydif or 0,
    }
  end
  return pictures
end

-- Without those that are nearly black or white, if there are enough others.
local function worth_showing(pictures, count)
  local kept = {}
  for _, picture in ipairs(pictures) do
    if picture.light >= 32 and picture.light <= 220 then
      table.insert(kept, picture)
    end
  end
  return #kept >= count and kept or pictures
end

-- Where scenes begin: the first picture, then those behind the greatest changes, none of them too
-- near to another.
local function beginnings(pictures, count)
  local order, begins = {}, { 1 }
  for number = 2, #pictures do
    order[number - 1] = number
  end
  table.sort(order, function(a, b)
    local one, other = pictures[a].change, pictures[b].change
    return one > other or one == other and a < b
  end)
  local apart = (pictures[#pictures].time - pictures[1].time) / count / 4
  local function is_free(number)
    for _, begin in ipairs(begins) do
      if math.abs(pictures[begin].time - pictures[number].time) < apart then
        return false
      end
    end
    return true
  end
  for _, number in ipairs(order) do
    if #begins < count and is_free(number) then
      table.insert(begins, number)
    end
  end
  table.sort(begins)
  return begins
end

-- Times of so many pictures, or of all keyframes where there aren't as many: the film is divided
-- where its picture changes most, and the richest of each part is taken.
function scenes.best(source, count)
  local keyframes = thinned(source:keyframes(), most_looked_at)
  if #keyframes <= count then
    return keyframes[1] and keyframes or { 0 }
  end
  local pictures = worth_showing(look(source, keyframes), count)
  local begins, times = beginnings(pictures, count), {}
  for scene, begin in ipairs(begins) do
    local best = begin
    for number = begin, (begins[scene + 1] or #pictures + 1) - 1 do
      if pictures[number].worth > pictures[best].worth then
        best = number
      end
    end
    table.insert(times, pictures[best].time)
  end
  return times
end

return scenes
