local color = require "lib.color"
local geometry = require "lib.geometry"

local encoders = {
  jpg = { codec = "mjpeg", pixels = "yuvj420p" },
  png = { codec = "png", pixels = "rgb24" },
  webp = { codec = "webp", pixels = "yuv420p" },
}

-- Seconds for each picture that was asked for.
local function times_of(job, options, duration)
  local times = {}
  local function need_duration(option)
    if not duration then
      job:fail("invalid_option", "the file does not tell its duration: give times in seconds",
        option)
    end
  end
  for _, position in ipairs(options.timestamps or {}) do
    local percent = type(position) == "string" and tonumber(position:match "^(.*)%%$")
    if percent then
      need_duration "timestamps"
      position = duration * percent / 100
    elseif duration and position > duration then
      job:note(("%g s is past the end at %g s: the last frame is shown"):format(position,
        duration))
    end
    table.insert(times, position)
  end
  if not options.timestamps then
    need_duration "count"
    local count = options.count or 1
    for number = 1, count do
      table.insert(times, (number - 0.5) / count * duration)
    end
  end
  return times
end

-- The frames as pictures: upright, with square pixels, in colours that every screen has.
local function picture(frames, stream, options)
  if stream.color.hdr then
    frames = color.tone_map(frames, stream)
  end
  local factor = geometry.shrink(stream.display_width, stream.display_height, options.width,
    options.height)
  local width = math.max(1, math.floor(stream.display_width * factor + 0.5))
  local height = math.max(1, math.floor(stream.display_height * factor + 0.5))
  return frames:scale { w = width, h = height, flags = "bicubic" }:setsar(1)
end

local function encode(frames, options)
  local encoder = encoders[options.format]
  local settings = { codec = encoder.codec, pixel_format = encoder.pixels }
  if options.format == "jpg" then
    settings.quality = 2 + (100 - options.quality) * 29 / 99
  elseif options.format == "webp" then
    settings.quality = options.quality
  end
  return frames:encode(settings)
end

return {
  summary = "Take still pictures out of a video",
  inputs = 1,
  options = {
    { "timestamps", type = "list", of = { type = "time", min = 0, percent = true }, min = 1,
      max = 100, help = "times, or percentages of the duration" },
    { "count", type = "integer", min = 1, max = 100,
      help = "so many pictures, spread evenly; one, from the middle, if nothing is asked for" },
    { "width", type = "integer", min = 1, max = 16384, unit = "pixels",
      help = "fits inside, never distorts, never enlarges" },
    { "height", type = "integer", min = 1, max = 16384, unit = "pixels",
      help = "fits inside, never distorts, never enlarges" },
    { "format", type = "enum", values = { "jpg", "png", "webp" }, default = "jpg" },
    { "quality", type = "integer", min = 1, max = 100, default = 90,
      help = "of jpg and webp; 100 is the best" },
    { "exact", type = "boolean", default = false,
      help = "the very frame that is shown then, not the nearest keyframe" },
  },
  examples = {
    { timestamps = { "50%" }, width = 160 },
    { count = 3, height = 90, format = "png", exact = true },
  },

  check = function(options)
    if options.timestamps and options.count then
      return "timestamps and count exclude each other", "count"
    end
  end,

  run = function(job)
    local source, options = job.input, job.options
    local stream, cover = source.video, source.pictures[1]
    if stream then
      local times = times_of(job, options, source:length())
      local frames = source:at(times, { keyframe = not options.exact })
      job:output {
        format = options.format, each_picture = #times > 1,
        encode(picture(frames, stream, options), options),
      }
    elseif cover then
      job:note("the file has no video: its cover picture is taken")
      job:output { format = options.format, encode(picture(cover, cover, options), options) }
    else
      job:fail("no_such_stream", "the file has no video")
    end
  end,
}
