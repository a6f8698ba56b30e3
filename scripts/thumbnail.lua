local color = require "lib.color"
local geometry = require "lib.geometry"
local scenes = require "lib.scenes"
local sheet = require "lib.sheet"

-- `most` is the longest side that the format has room for.
local encoders = {
  jpg = { codec = "mjpeg", pixels = "yuvj420p", most = 65500 },
  png = { codec = "png", pixels = "rgb24", most = 65500 },
  webp = { codec = "webp", pixels = "yuv420p", most = 16383 },
}

local most_pictures = 5000 -- of one job
local most_pixels = 8192 * 8192 -- of one sheet
local tile_width = 160 -- in a sheet, if nothing is asked for

-- The ways to say which pictures are wanted: each gives their times in seconds. `duration` is a
-- function, which fails where nobody knows it and the option named can't do without.
local ways = {}

function ways.timestamps(job, positions, duration)
  local times = {}
  for _, position in ipairs(positions) do
    local percent = type(position) == "string" and tonumber(position:match "^(.*)%%$")
    if percent then
      position = duration("timestamps") * percent / 100
    elseif duration() and position > duration() then
      job:note(("%g s is past the end at %g s: the last frame is shown"):format(position,
        duration()))
    end
    table.insert(times, position)
  end
  table.sort(times)
  return times
end

-- From the middles of as many equal parts.
function ways.count(_, count, duration)
  local times = {}
  for number = 1, count do
    times[number] = (number - 0.5) / count * duration "count"
  end
  return times
end

function ways.interval(job, interval, duration)
  local times, length = {}, duration "interval"
  if length / interval > most_pictures then
    job:fail("invalid_option",
      ("a picture every %g s of %g s makes more than %d: at least %.4g s must lie between them")
        :format(interval, length, most_pictures, length / most_pictures), "interval")
  end
  for number = 1, math.max(1, math.ceil(length / interval)) do
    times[number] = (number - 1) * interval
  end
  return times
end

function ways.scenes(job, count)
  local times = scenes.best(job.input, count)
  if #times < count then
    job:note(("%d keyframe%s to choose from, not %d"):format(#times, #times > 1 and "s" or "",
      count))
  end
  return times
end

-- Times of the pictures in seconds, ascending, and the duration, if it is known.
local function times_of(job)
  local options, length = job.options, job.input:length()
  local function duration(option)
    if option and not length then
      job:fail("invalid_option", "the file does not tell its duration: give times in seconds",
        option)
    end
    return length
  end
  for way, times in pairs(ways) do
    if options[way] then
      return times(job, options[way], duration), length
    end
  end
  local columns = options.sheet and options.sheet.columns
  return ways.count(job, columns and columns * columns or 1, duration), length
end

-- The size of a picture: fits a box as it is shown, never larger than it is.
local function size_of(stream, width, height)
  local factor = geometry.shrink(stream.display_width, stream.display_height, width, height)
  return math.max(1, math.floor(stream.display_width * factor + 0.5)),
    math.max(1, math.floor(stream.display_height * factor + 0.5))
end

-- The frames as pictures: upright, with square pixels, in colours that every screen has.
local function draw(frames, stream, width, height)
  if stream.color.hdr then
    frames = color.tone_map(frames, stream)
  end
  return frames:scale { w = width, h = height, flags = "bicubic" }:setsar(1)
end

local function encode(frames, options)
  local encoder = encoders[options.format]
  local settings = { codec = encoder.codec, pixel_format = encoder.pixels }
  if options.format == "jpg" then
    settings.quality = math.floor(200 + (100 - options.quality) * 2900 / 99 + 0.5) / 100
  elseif options.format == "webp" then
    settings.quality = options.quality
  end
  return frames:encode(settings)
end

-- A file of its own for each frame.
local function output_pictures(job, frames, stream, count)
  local options = job.options
  local width, height = size_of(stream, options.width, options.height)
  job:output {
    format = options.format, each_picture = count > 1,
    encode(draw(frames, stream, width, height), options),
  }
end

-- All frames in one picture, and beside it the index.
local function output_sheet(job, frames, stream, times, duration)
  local options = job.options
  local box_width = options.width or not options.height and tile_width or nil
  local width, height = size_of(stream, box_width, options.height)
  local layout = sheet.layout(#times, options.sheet.columns, width, height)
  local most = encoders[options.format].most
  if layout.width > most or layout.height > most or layout.width * layout.height > most_pixels then
    job:fail("invalid_option",
      ("a sheet of %d by %d tiles of %dx%d is %dx%d, too large for %s: fewer or smaller ones fit")
        :format(layout.columns, layout.rows, width, height, layout.width, layout.height,
          options.format), "sheet")
  end
  local picture = job:output {
    format = options.format,
    encode(sheet.draw(draw(frames, stream, width, height), layout), options),
  }
  job:output {
    name = picture.name:gsub("%.%w+$", "") .. ".vtt",
    text = function(made)
      return sheet.index(made[1].name, times, duration or times[#times], layout)
    end,
  }
end

return {
  summary = "Take still pictures out of a video",
  inputs = 1,
  options = {
    { "timestamps", type = "list", of = { type = "time", min = 0, percent = true }, min = 1,
      max = 100, help = "times, or percentages of the duration" },
    { "count", type = "integer", min = 1, max = 5000,
      help = "so many pictures, spread evenly; one, from the middle, if nothing "
        .. "is asked for, of a sheet as many as make it square" },
    { "interval", type = "time", min = 0.001,
      help = "a picture so often, from the beginning; at most 5000" },
    { "scenes", type = "integer", min = 1, max = 100,
      help = "so many keyframes, those that tell most: one of each scene" },
    { "width", type = "integer", min = 1, max = 16384, unit = "pixels",
      help = "fits inside, never distorts, never enlarges" },
    { "height", type = "integer", min = 1, max = 16384, unit = "pixels",
      help = "fits inside, never distorts, never enlarges" },
    { "format", type = "enum", values = { "jpg", "png", "webp" }, default = "jpg" },
    { "quality", type = "integer", min = 1, max = 100, default = 90,
      help = "of jpg and webp; 100 is the best" },
    { "exact", type = "boolean", default = false,
      help = "the very frame that is shown then, not the nearest keyframe" },
    { "sheet", type = "object", help = "all pictures in one, 160 pixels wide each if nothing is "
        .. "asked for, with a WebVTT index of where they are",
      fields = { { "columns", type = "integer", min = 1, max = 70, default = 5,
        help = "pictures side by side" } } },
  },
  examples = {
    { timestamps = { "50%" }, width = 160 },
    { count = 3, height = 90, format = "png", exact = true },
    { interval = 1, width = 80, format = "webp" },
    { scenes = 2, width = 120 },
    { count = 6, width = 64, sheet = { columns = 3 } },
  },

  check = function(options)
    local given
    for _, way in ipairs { "timestamps", "count", "interval", "scenes" } do
      if options[way] and given then
        return given .. " and " .. way .. " exclude each other", way
      end
      given = options[way] and way or given
    end
  end,

  run = function(job)
    local source, options = job.input, job.options
    local stream, cover = source.video, source.pictures[1]
    if stream then
      local times, duration = times_of(job)
      local frames = source:at(times, { keyframe = not options.exact })
      if options.sheet then
        output_sheet(job, frames, stream, times, duration)
      else
        output_pictures(job, frames, stream, #times)
      end
    elseif cover and not options.sheet then
      job:note("the file has no video: its cover picture is taken")
      output_pictures(job, cover, cover, 1)
    else
      job:fail("no_such_stream", "the file has no video")
    end
  end,
}
