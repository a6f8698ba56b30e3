-- Transitions from one part to the next. Only what overlaps passes through both parts' decoders:
-- a film is its parts' middles with the transitions between them, one after the other.

local join = require "lib.join"

local transition = {}

transition.names = {
  "fade", "wipeleft", "wiperight", "wipeup", "wipedown", "slideleft", "slideright", "slideup",
  "slidedown", "circlecrop", "rectcrop", "distance", "fadeblack", "fadewhite", "radial",
  "smoothleft", "smoothright", "smoothup", "smoothdown", "circleopen", "circleclose", "vertopen",
  "vertclose", "horzopen", "horzclose", "dissolve", "pixelize", "diagtl", "diagtr", "diagbl",
  "diagbr", "hlslice", "hrslice", "vuslice", "vdslice", "hblur", "fadegrays", "wipetl", "wipetr",
  "wipebl", "wipebr", "squeezeh", "squeezev", "zoomin",
}

function transition.seconds(options)
  return options.transition_duration or 1
end

-- Every part must be longer than the transitions that it is in.
function transition.check(job, parts)
  local seconds = transition.seconds(job.options)
  for number, part in ipairs(parts) do
    local overlaps = number > 1 and number < #parts and 2 or 1
    if part.length < seconds * overlaps + 0.04 then
      job:fail("invalid_option", ("'%s' lasts %.2f s, too short for transitions of %g s")
        :format(part.name, part.length, seconds), "transition_duration")
    end
  end
end

-- One segment for each part's middle and for each transition. `make(part, from, to)` gives a part's
-- stream in a range, `blend(before, after)` what two of them become.
local function segments(parts, seconds, make, blend)
  local list = {}
  for number, part in ipairs(parts) do
    local from = number > 1 and seconds or 0
    local to = part.length - (number < #parts and seconds or 0)
    table.insert(list, { make(part, from, to), duration = to - from })
    local after = parts[number + 1]
    if after then
      table.insert(list, { duration = seconds,
        blend(make(part, to, part.length), make(after, 0, seconds)) })
    end
  end
  return list
end

-- All parts' pictures, as one stream of frames.
function transition.pictures(parts, picture, options)
  local seconds = transition.seconds(options)
  local function make(part, from, to)
    local stream = part.video and part.source:between(from, to).video
    return stream and join.unify(stream, part.video, picture) or join.black(to - from, picture)
  end
  -- as long as the transition even where a part ends early
  local function steady(video)
    return video:tpad { stop_mode = "clone", stop_duration = seconds }:trim { end_ = seconds }
  end
  local function blend(before, after)
    return steady(before):xfade(steady(after), { transition = options.transition,
      duration = seconds, offset = 0 })
  end
  return av.sequence(segments(parts, seconds, make, blend))
end

-- All parts' sound, as one stream.
function transition.sound(parts, track, reference, options)
  local seconds = transition.seconds(options)
  local function make(part, from, to)
    local stream = part.audios[track] and part.source:between(from, to).audios[track]
    return stream and join.sound(stream, reference) or join.silence(to - from, reference)
  end
  local function blend(before, after)
    before = before:afade { type = "out", start_time = 0, duration = seconds, curve = "qsin" }
    after = after:afade { type = "in", start_time = 0, duration = seconds, curve = "qsin" }
    return before:amix(after, { inputs = 2, duration = "longest", normalize = 0 })
  end
  return av.sequence(segments(parts, seconds, make, blend))
end

return transition
