-- The ranges of an input's time that are kept.

local ranges = {}

-- The options that say which, for an operation's list of options.
function ranges.options(list)
  local common = {
    { "start", type = "time", min = 0, help = "where the kept range begins; 0 if not given" },
    { "end", type = "time", min = 0, help = "where it ends; the input's end if not given" },
    { "duration", type = "time", min = 0, help = "instead of end: how long it is" },
    { "segments", type = "list", min = 1, max = 100,
      of = { type = "object", fields = {
        { "start", type = "time", min = 0, default = 0 },
        { "end", type = "time", min = 0 },
        { "duration", type = "time", min = 0 },
      } },
      help = "instead of those: several ranges in their order, kept and joined" },
  }
  for number, option in ipairs(common) do
    table.insert(list, number, option)
  end
  return list
end

-- What is wrong with one range, and with which of its options; `place` goes before their names.
local function check_one(range, place)
  local start = range.start or 0
  if range["end"] and range.duration then
    return "end and duration exclude each other", place .. "duration"
  elseif range["end"] and range["end"] <= start then
    return "end must be after start", place .. "end"
  elseif range.duration and range.duration <= 0 then
    return "a range can't be empty", place .. "duration"
  end
end

-- What is wrong with the options, as far as it can be told without the input.
function ranges.check(options)
  if not options.segments then
    return check_one(options, "")
  end
  for _, name in ipairs { "start", "end", "duration" } do
    if options[name] then
      return name .. " and segments exclude each other", name
    end
  end
  local reached, last = 0, #options.segments
  for number, segment in ipairs(options.segments) do
    local place = ("segments[%d]."):format(number - 1)
    local problem, name = check_one(segment, place)
    if problem then
      return problem, name
    elseif segment.start < reached then
      return ("segments follow one another: this one begins before %g s"):format(reached),
        place .. "start"
    end
    reached = segment["end"] or segment.duration and segment.start + segment.duration
    if not reached and number < last then
      return "only the last segment may go to the input's end", place .. "end"
    end
  end
end

-- The ranges, each with start and stop in seconds; the last one's stop is nil where it goes to the
-- input's end.
function ranges.of(job, options)
  local length = job.input:length()
  local list = {}
  for number, range in ipairs(options.segments or { options }) do
    local place = options.segments and ("segments[%d]."):format(number - 1) or ""
    local start = range.start or 0
    local stop = range["end"] or range.duration and start + range.duration
    if length and start >= length then
      job:fail("invalid_option", ("the input ends at %.3f s"):format(length), place .. "start")
    end
    if length and stop and stop > length + 0.001 then
      job:note(("the input ends at %.3f s, before %g s"):format(length, stop))
    end
    if length and stop and stop >= length then
      stop = nil -- to the last packet, whatever the container says
    end
    table.insert(list, { start = start, stop = stop })
  end
  return list
end

-- A stream of the source, limited to a range. All streams of a range are read together.
function ranges.part(source, stream, range)
  range.source = range.source or source:between(range.start, range.stop)
  return range.source.streams[stream.index + 1]
end

-- A stream in all ranges, end to end: its frames, or the tracks that `make` gives of its parts.
function ranges.join(source, stream, list, make)
  if #list == 1 and not make then
    return ranges.part(source, stream, list[1])
  end
  local segments = {}
  for _, range in ipairs(list) do
    local part = ranges.part(source, stream, range)
    table.insert(segments, {
      make and make(part) or part, duration = range.stop and range.stop - range.start,
    })
  end
  return av.sequence(segments)
end

-- What an error says, without the place in a script.
function ranges.reason(failure)
  return (tostring(failure):gsub("^[%w_/.]+:%d+: ", ""))
end

-- "0.500 s to 1.500 s, 3.000 s to the end"
function ranges.text(list)
  local texts = {}
  for number, range in ipairs(list) do
    texts[number] = ("%.3f s to %s"):format(range.start,
      range.stop and ("%.3f s"):format(range.stop) or "the end")
  end
  return table.concat(texts, ", ")
end

-- The chapters of an input as they fall into the ranges, on the joined clock.
function ranges.chapters(source, list)
  local found, offset = {}, 0
  for _, range in ipairs(list) do
    local stop = range.stop or math.huge
    for _, chapter in ipairs(source.chapters) do
      local from, to = math.max(chapter.start, range.start), math.min(chapter.stop, stop)
      if to > from then
        table.insert(found, {
          start = offset + from - range.start, stop = offset + to - range.start,
          title = chapter.title, metadata = chapter.metadata,
        })
      end
    end
    offset = offset + stop - range.start
  end
  return found
end

return ranges
