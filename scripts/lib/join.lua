-- What it takes to put files end to end: how long each is, what is alike, and how to make it so.

local color = require "lib.color"
local effects = require "lib.effects"

local join = {}

-- ---- how long ----

-- A tag that goes further than this, in seconds, is wrong.
local latest_end = 1e7

-- Matroska writes where a track ends among its tags: "00:00:03.012000000".
local function tagged_end(stream)
  local text = stream.tags and (stream.tags.DURATION or stream.tags["DURATION-eng"]) or ""
  local hours, minutes, seconds = text:match "^(%d+):(%d+):(%d+%.?%d*)$"
  local stop = hours and hours * 3600 + minutes * 60 + seconds
  return stop and stop <= latest_end and stop or nil
end

-- Where a stream begins and ends, in seconds from the file's beginning; the end may be unknown.
local function range(stream, zero)
  local start, tagged = (stream.start or zero) - zero, tagged_end(stream)
  if tagged then
    return start, tagged - math.max(zero, 0)
  end
  return start, stream.duration and start + stream.duration
end

-- Sound that goes on for so long after the last picture is heard to its end.
local longest_tail = 0.1
-- Sound that is so near to its part's length can be joined as it is.
local same_length = 0.03

-- What is known of an input as a part of something longer: its streams and its length.
function join.part(source, number)
  local zero = effects.first_time(source)
  local part = { source = source, name = source.name or ("input " .. number),
    video = source.video, audios = source.audios, sound_ends = {} }
  local length
  if part.video then
    part.video_start, length = range(part.video, zero)
  end
  for track, audio in ipairs(part.audios) do
    local start, stop = range(audio, zero)
    part.sound_ends[track] = start < same_length and stop or nil
    if stop and (not length or stop > length + longest_tail) then
      length = not (part.video and not length) and stop or nil
    end
  end
  part.length = length or source.duration or source:length()
  return part
end

-- True if a track of sound lasts as long as its part.
function join.fills(part, track)
  local stop = part.sound_ends[track]
  return stop and math.abs(stop - part.length) <= same_length or false
end

-- ---- what is alike ----

local function size(stream)
  return ("%dx%d"):format(stream.width or 0, stream.height or 0)
end

local function light(stream)
  return stream.color and stream.color.transfer
end

local function matrix(stream)
  return stream.color and stream.color.matrix
end

-- What must be the same, and what it is called. Where one of two doesn't say, they don't differ.
local features = {
  video = {
    { function(s) return s.codec end, "codec" }, { size, "size" },
    { function(s) return s.pixel_format end, "pixel format" },
    { function(s) return s.profile end, "profile" },
    { function(s) return s.sample_aspect_ratio end, "shape of pixels" },
    { function(s) return s.rotation end, "rotation" },
    { function(s) return s.flipped end, "flip" },
    { function(s) return s.interlaced end, "interlacing" },
    { light, "transfer" }, { matrix, "matrix" },
  },
  audio = {
    { function(s) return s.codec end, "codec" }, { function(s) return s.profile end, "profile" },
    { function(s) return s.sample_rate end, "sample rate" },
    { function(s) return s.layout end, "layout" },
  },
}

-- Why a stream can't follow another in one track as it is; nil if it can.
function join.unlike(stream, reference)
  for _, feature in ipairs(features[reference.kind]) do
    local own, wanted = feature[1](stream), feature[1](reference)
    if own ~= nil and wanted ~= nil and own ~= wanted then
      return ("%s %s, not %s"):format(feature[2], own, wanted)
    end
  end
end

local imitable = { h264 = true, hevc = true, vp9 = true, av1 = true }

-- True if other pictures can be encoded to follow this stream's copied ones.
function join.can_imitate(stream)
  return imitable[stream.codec] and stream.rotation == 0 and not stream.flipped
    and not stream.interlaced and stream.display_width == stream.width
    and stream.display_height == stream.height
end

-- A sequence of tracks, or nil and why the engine can't join them.
function join.try(segments)
  local made, track = pcall(av.sequence, segments)
  if made then
    return track
  end
  return nil, (tostring(track):gsub("^%S+%.lua:%d+: ", ""))
end

-- Why the engine can't put a stream's packets behind another's; nil if it can.
function join.unjoinable(stream, reference)
  local track, why = join.try { reference:copy(), stream:copy() }
  return not track and why:gsub("^segment %d+ can't be copied behind the others: ", "") or nil
end

-- ---- pictures made alike ----

local function rounded(value, step)
  return math.max(step, math.floor(value / step + 0.5) * step)
end

-- What all pictures become before the codec gets them: the first video's, or what was asked for.
function join.picture(reference, options, codec)
  local step = (codec == "h264" or codec == "hevc") and 2 or 1
  local shown_width, shown_height = reference.display_width, reference.display_height
  local width, height = options.width, options.height
  if not width and not height then
    width, height = shown_width, shown_height
  elseif not width then
    width = shown_width * height / shown_height
  elseif not height then
    height = shown_height * width / shown_width
  end
  local own = reference.pixel_format or ""
  local rate = reference.frame_rate or 25
  if reference.variable_frame_rate or rate > 120 then
    rate = rate > 30 and 60 or 30 -- their mean, or a clock's, is no rate to show anything at
  end
  return {
    width = rounded(width, step), height = rounded(height, step), fps = options.fps or rate,
    pixel_format = own:match "^yuv4%d%dp1?[02]?l?e?$" and own or "yuv420p",
    color = reference.color or {}, fit = options.fit,
  }
end

-- The size that a picture gets before it is padded or cut.
local function fitted(stream, picture)
  local across = picture.width / stream.display_width
  local down = picture.height / stream.display_height
  if picture.fit == "stretch" or math.abs(across / down - 1) < 0.005 then
    return picture.width, picture.height
  end
  if picture.fit == "crop" then
    local by = math.max(across, down)
    return math.max(rounded(stream.display_width * by, 2), picture.width),
      math.max(rounded(stream.display_height * by, 2), picture.height)
  end
  local by = math.min(across, down)
  return math.min(rounded(stream.display_width * by, 2), picture.width),
    math.min(rounded(stream.display_height * by, 2), picture.height)
end

-- A stream of pictures in the size, colours and form of all.
function join.unify(video, stream, picture)
  if stream.interlaced then
    video = video:bwdif { mode = "send_frame", deint = "all" }
  end
  video = color.convert(video, stream, picture.color)
  local width, height = fitted(stream, picture)
  video = video:scale { w = width, h = height, flags = "bicubic",
    out_range = picture.color.range == "pc" and "pc" or "tv" }:setsar(1)
  if picture.width % 2 + picture.height % 2 > 0 then
    -- what shares its colour between pixels is padded and cut to even sizes only
    video = video:format((picture.pixel_format:gsub("^yuv4%d%d", "yuv444")))
  end
  if picture.fit == "crop" and (width ~= picture.width or height ~= picture.height) then
    video = video:crop { w = picture.width, h = picture.height }
  elseif width ~= picture.width or height ~= picture.height then
    video = video:pad { w = picture.width, h = picture.height, x = "(ow-iw)/2", y = "(oh-ih)/2",
      color = "black" }
  end
  -- from the part's very beginning, even where its first picture comes later
  return video:format(picture.pixel_format):fps { fps = picture.fps, start_time = 0 }
end

-- Black for a part that has no picture.
function join.black(seconds, picture)
  return av.source("color", { color = "black", duration = seconds, rate = picture.fps,
    size = ("%dx%d"):format(picture.width, picture.height) }):setsar(1)
    :format(picture.pixel_format)
end

-- ---- sound made alike ----

function join.sound(stream, reference)
  return stream:aformat { sample_rates = reference.sample_rate,
    channel_layouts = reference.layout, sample_fmts = "fltp" }
end

function join.silence(seconds, reference)
  return join.sound(av.source("anullsrc", { duration = seconds,
    sample_rate = reference.sample_rate, channel_layout = reference.layout }), reference)
end

return join
