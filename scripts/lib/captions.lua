-- Subtitles of files that are put end to end.

local join = require "lib.join"
local tracks = require "lib.tracks"

local captions = {}

-- How many tracks of subtitles every input has, as text that the container takes.
function captions.count(job, parts, format)
  local most, count = 0, math.huge
  for _, part in ipairs(parts) do
    local own = 0
    for _, stream in ipairs(part.source.subtitles) do
      own = own + (tracks.is_text(stream) and 1 or 0)
    end
    most, count = math.max(most, #part.source.subtitles), math.min(count, own)
  end
  local room = av.formats[format].room.subtitle
  if av.formats[format].subtitle == "" or room == 0 or job.options.transition then
    count = 0
  elseif room > 0 then
    count = math.min(count, room)
  end
  if most > count then
    job:note(("%s subtitles not kept: they are where every input has them as text, there are no "
      .. "transitions, and the container takes them"):format(count > 0 and "some" or "the"))
  end
  return count
end

-- A track of all inputs' subtitles of that number; false if they can't be joined.
function captions.join(job, parts, track, format)
  local codec, segments, same = av.formats[format].subtitle, {}, true
  local first
  for number, part in ipairs(parts) do
    local texts = {}
    for _, stream in ipairs(part.source.subtitles) do
      if tracks.is_text(stream) then
        table.insert(texts, stream)
      end
    end
    first = first or texts[track]
    same = same and texts[track].codec == first.codec
    segments[number] = { texts[track], duration = part.length }
  end
  same = same and av.can_copy(first, format)
  for _, segment in ipairs(segments) do
    segment[1] = same and segment[1]:copy() or segment[1]:encode { codec = codec }
  end
  local joined, why = join.try(segments)
  local name = track > 1 and "subtitles " .. track or "subtitles"
  job:note(joined and ("%s %s"):format(name, same and "copied" or "rewritten as " .. codec)
    or name .. " not kept: " .. why)
  return joined or false
end

return captions
