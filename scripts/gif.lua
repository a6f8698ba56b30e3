local color = require "lib.color"
local geometry = require "lib.geometry"

local usual = { width = 480, fps = 12, colors = 256 }
local least = { width = 32, fps = 4, colors = 16 }

-- How each format says how often it is played; 0 is for ever everywhere.
local loops = {
  gif = function(times) return { loop = times } end,
  webp = function(times) return { loop = times < 0 and 1 or times > 0 and times + 1 or 0 } end,
  apng = function(times) return { plays = times < 0 and 1 or times > 0 and times + 1 or 0 } end,
}

-- Where the picture begins, in seconds from the beginning of the file: its sound may be earlier.
local function beginning(source)
  local earliest = source.video.start or 0
  for _, stream in ipairs(source.streams) do
    if stream.start and not stream.attached_picture then
      earliest = math.min(earliest, stream.start)
    end
  end
  return (source.video.start or earliest) - earliest
end

-- The part of the input that was asked for, and how long it is (nil if unknown).
local function range(job, options)
  local source, length = job.input, job.input.duration
  if length and options.start >= length then
    job:fail("invalid_option", ("the file ends at %g s"):format(length), "start")
  end
  local start, late = options.start, beginning(source)
  if late > start then
    start = math.max(start, late - 0.001) -- times are rounded here and there
    if late > 0.1 then
      job:note(("the picture begins at %g s, and so does the result"):format(late))
    end
  end
  local left = length and length - start
  if options.duration then
    return source:between(start, start + options.duration),
      math.min(left or options.duration, options.duration)
  end
  return start > 0 and source:from(start) or source, left
end

-- Where the size and the rate begin: as asked, else the usual ones, never more than there is.
local function first_try(job, stream, options)
  local width = math.min(options.width or usual.width, stream.display_width)
  local fps = options.fps or usual.fps
  if stream.frame_rate and not stream.variable_frame_rate and stream.frame_rate < fps then
    fps = stream.frame_rate
    job:note(("the input has %g frames a second, and keeps them"):format(fps))
  end
  if options.width and options.width > width then
    job:note(("the input is %d pixels wide, and isn't enlarged"):format(width))
  end
  return { width = width, fps = fps, colors = options.colors or usual.colors }
end

-- Something smaller, which is likely to take so many times the bytes; what was asked for stays.
-- Bytes go with the rate and with the square of the width. Nil if nothing is left to take away.
local function smaller(how, options, factor)
  local new = { width = how.width, fps = how.fps, colors = how.colors }
  factor = math.max(0.1, factor * 0.9)
  if not options.fps and how.fps > least.fps then
    local part = options.width and factor or factor ^ (1 / 3)
    new.fps = math.max(least.fps, math.floor(how.fps * part))
    factor = math.min(1, factor * how.fps / new.fps)
  end
  if not options.width and how.width > least.width then
    new.width = math.max(least.width, math.floor(how.width * factor ^ 0.5))
    factor = math.min(1, factor * (how.width / new.width) ^ 2)
  end
  if not options.colors and options.format == "gif" and factor < 0.9 then
    new.colors = math.max(least.colors, how.colors // 2)
  end
  if new.width == how.width and new.fps == how.fps and new.colors == how.colors then
    return nil
  end
  return new
end

-- The frames in their new size and rate: upright, square pixels, colours of every screen.
local function picture(stream, how, length)
  local frames = stream
  if stream.interlaced then
    frames = frames:bwdif { mode = "send_frame", deint = "interlaced" }
  end
  -- Of what is shorter than a frame there is one all the same.
  local short = not length or length * how.fps < 2
  frames = frames:fps { fps = how.fps, eof_action = short and "pass" or "round" }
  if stream.color.hdr then
    frames = color.tone_map(frames, stream)
  end
  local factor = geometry.shrink(stream.display_width, stream.display_height, how.width)
  local height = math.max(1, math.floor(stream.display_height * factor + 0.5))
  return frames:scale { w = how.width, h = height, flags = "bicubic" }:setsar(1)
end

-- True if parts of the picture may be clear, by the name of its pixel format.
local function has_alpha(stream)
  local name = stream.pixel_format or ""
  return name == "pal8" or name:find "^yuva" ~= nil or name:find "^ya" ~= nil
    or name:find "^gbrap" ~= nil or name:find "^[abgr]+%d*[lb]?e?$" ~= nil and name:find "a" ~= nil
end

-- A small palette has no entry to spare for what is clear, or didn't change, unless it must.
local function encode(frames, stream, how, options)
  if options.format == "gif" or options.colors then
    frames = frames:palette {
      colors = how.colors, dither = options.dither or "sierra2_4a",
      transparency = how.colors >= 8 or has_alpha(stream),
    }
  end
  if options.format == "webp" then
    return frames:encode { codec = "libwebp_anim", quality = 75 }
  end
  return frames:encode { codec = options.format, pixel_format = options.colors and "pal8" or nil }
end

return {
  summary = "Make a looping animation",
  inputs = 1,
  options = {
    { "start", type = "time", min = 0, default = 0, help = "where it begins" },
    { "duration", type = "time", min = 0.01, help = "of the input's time; else to its end" },
    { "width", type = "integer", min = 1, max = 8192, unit = "pixels",
      help = "never enlarges; 480 if nothing is asked for" },
    { "fps", type = "number", min = 0.1, max = 50,
      help = "frames a second, where the input has more; 12 if nothing is asked for" },
    { "colors", type = "integer", min = 2, max = 256,
      help = "size of the palette, which gif has in any case and apng only if asked for" },
    { "dither", type = "enum", values = { "none", "bayer", "heckbert", "floyd_steinberg",
      "sierra2", "sierra2_4a", "sierra3", "burkes", "atkinson" },
      help = "how colours that the palette lacks are mixed; sierra2_4a if nothing is asked for" },
    { "loop", type = "integer", min = -1, max = 10000, default = 0,
      help = "how often it is repeated; 0 is for ever, -1 never" },
    { "format", type = "enum", values = { "gif", "webp", "apng" }, default = "gif" },
    { "max_size", type = "size", min = 1,
      help = "of the result; size, rate and colours that nothing was asked of give way to it" },
  },
  examples = {
    { duration = 1, width = 160 },
    { duration = 1, width = 120, fps = 5, colors = 32, dither = "bayer", loop = -1 },
    { duration = 1, width = 120, format = "webp" },
    { duration = 0.5, width = 80, format = "apng", loop = 2 },
  },

  check = function(options)
    if options.format == "webp" and options.colors then
      return "webp has no palette", "colors"
    elseif options.dither and options.format ~= "gif" and not options.colors then
      return "dither goes with a palette, which gif and colors make", "dither"
    end
  end,

  run = function(job)
    local options = job.options
    if not job.input.video then
      job:fail("no_such_stream", "the file has no video")
    end
    local source, length = range(job, options)
    local stream = source.video
    if stream.color.hdr then
      job:note("HDR brought into the colours of usual screens")
    end

    -- An animation; one that is too large is made anew, smaller, a few times.
    local function animation(how, tries)
      local output = {
        format = options.format, options = loops[options.format](options.loop),
        encode(picture(stream, how, length), stream, how, options),
      }
      if options.max_size then
        output.not_larger_than = options.max_size
        output.otherwise = function(size)
          local new = tries > 0 and smaller(how, options, options.max_size / size)
          if not new then
            job:fail("limit_exceeded", ("the smallest that was tried has %d bytes"):format(size),
              "max_size")
          end
          job:note(("%d bytes were too many: made anew, %d pixels wide, %g frames a second%s")
            :format(size, new.width, new.fps,
              options.format == "gif" and (", %d colours"):format(new.colors) or ""))
          return animation(new, tries - 1)
        end
      end
      return output
    end

    job:output(animation(first_try(job, stream, options), 6))
  end,
}
