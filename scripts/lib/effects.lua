-- The filters that people ask for by name. Each takes a stream and `shape`, what is known of its
-- frames at this point, and returns the changed stream; shape is kept up to date.

local geometry = require "lib.geometry"
local loudness = require "lib.loudness"

local effects = { video = {}, audio = {} }
local video, audio = effects.video, effects.audio

-- The earliest time of a file's streams, from which its frames count.
function effects.first_time(source)
  local first
  for _, stream in ipairs(source.streams) do
    if stream.start and not stream.attached_picture and stream.kind ~= "subtitle" then
      first = math.min(first or stream.start, stream.start)
    end
  end
  return first or 0
end

-- Size, shape of pixels and times of an input's picture.
function effects.shape(stream, first_time)
  local shape = { interlaced = stream.interlaced }
  if stream.kind == "video" then
    shape.width, shape.height = geometry.upright(stream)
    shape.shown_width, shape.shown_height = stream.display_width, stream.display_height
  end
  local start = (stream.start or first_time) - first_time
  shape.stop = stream.duration and start + stream.duration
  return shape
end

local function resize(stream, shape, width, height)
  shape.width, shape.height = width, height
  shape.shown_width, shape.shown_height = width, height
  return stream:scale { w = width, h = height, flags = "bicubic",
    interl = shape.interlaced and 1 or 0 }:setsar(1)
end

-- What counts pixels wants them square.
local function square(stream, shape)
  if shape.width == shape.shown_width and shape.height == shape.shown_height then
    return stream
  end
  return resize(stream, shape, shape.shown_width, shape.shown_height)
end

local function even(value)
  return math.max(2, math.floor(value / 2 + 0.5) * 2)
end

-- 4:2:0 needs even sides; the picture is scaled to them, not cut.
function effects.even(stream, shape)
  local width, height = shape.width // 2 * 2, shape.height // 2 * 2
  if (width == shape.width and height == shape.height) or width == 0 or height == 0 then
    return stream
  elseif shape.width == shape.shown_width and shape.height == shape.shown_height then
    return resize(stream, shape, width, height)
  end
  shape.width, shape.height = width, height
  return stream:scale { w = width, h = height }
end

function video.scale(stream, shape, wanted, job)
  local width, height, fit = wanted.width, wanted.height, wanted.fit
  if not width and not height then
    job:fail("invalid_option", "scale needs a width or a height", "scale")
  end
  local own_width, own_height = shape.shown_width, shape.shown_height
  if fit == "stretch" and width and height then
    return resize(stream, shape, even(width), even(height))
  end
  local across = width and width / own_width or height / own_height
  local down = height and height / own_height or across
  if not (width and height) or fit == "inside" then
    local by = math.min(across, down)
    return resize(stream, shape, even(own_width * by), even(own_height * by))
  end
  local by = fit == "crop" and math.max(across, down) or math.min(across, down)
  width, height = even(width), even(height)
  local sized = resize(stream, shape, even(own_width * by), even(own_height * by))
  shape.width, shape.height, shape.shown_width, shape.shown_height = width, height, width, height
  if fit == "crop" then
    return sized:crop { w = width, h = height }
  end
  return sized:pad { w = width, h = height, x = "(ow-iw)/2", y = "(oh-ih)/2", color = "black" }
end

function video.rotate(stream, shape, degrees)
  degrees = degrees % 360
  if degrees % 180 == 90 then
    shape.width, shape.height = shape.height, shape.width
    shape.shown_width, shape.shown_height = shape.shown_height, shape.shown_width
    return stream:transpose { dir = degrees == 90 and "clock" or "cclock" }
  elseif degrees == 180 then
    return stream:hflip():vflip()
  elseif degrees == 0 then
    return stream
  end
  local turned = square(stream, shape)
  local angle = math.rad(degrees)
  local cosine, sine = math.abs(math.cos(angle)), math.abs(math.sin(angle))
  local width = even(shape.width * cosine + shape.height * sine)
  local height = even(shape.width * sine + shape.height * cosine)
  shape.width, shape.height, shape.shown_width, shape.shown_height = width, height, width, height
  return turned:rotate { angle = angle, out_w = width, out_h = height, fillcolor = "black" }
end

function video.flip(stream, _, way)
  local flipped = way ~= "vertical" and stream:hflip() or stream
  return way ~= "horizontal" and flipped:vflip() or flipped
end

function video.crop(stream, shape, wanted, job)
  local whole = square(stream, shape)
  local width = math.min(wanted.width or shape.width, shape.width - (wanted.x or 0))
  local height = math.min(wanted.height or shape.height, shape.height - (wanted.y or 0))
  local x = wanted.x or (shape.width - width) // 2
  local y = wanted.y or (shape.height - height) // 2
  if width < 2 or height < 2 or width < (wanted.width or 0) or height < (wanted.height or 0) then
    job:fail("invalid_option", ("crop does not fit the picture of %dx%d")
      :format(shape.width, shape.height), "crop")
  end
  shape.width, shape.height, shape.shown_width, shape.shown_height = width, height, width, height
  return whole:crop { w = width, h = height, x = x, y = y }
end

function video.fps(stream, _, rate)
  return stream:fps(rate)
end

function video.deinterlace(stream, shape, wanted, job)
  if wanted and not shape.interlaced then
    job:note("the video is not interlaced: not deinterlaced")
  elseif wanted then
    shape.interlaced = false
    return stream:bwdif { mode = "send_frame", deint = "all" }
  end
  return stream
end

local denoise_strength = { light = 2, medium = 4, strong = 8 }

function video.denoise(stream, _, how)
  return stream:hqdn3d(denoise_strength[how])
end

function video.sharpen(stream, _, amount)
  return amount > 0 and stream:unsharp { luma_amount = amount } or stream
end

local function fade_out_start(shape, wanted, job)
  if not shape.stop then
    job:fail("invalid_option", "the file does not tell its duration: it can't be faded out", "fade")
  end
  return math.max(0, shape.stop - wanted.out)
end

function video.fade(stream, shape, wanted, job)
  if (wanted["in"] or 0) > 0 then
    stream = stream:fade { type = "in", start_time = 0, duration = wanted["in"],
      color = wanted.color }
  end
  if (wanted.out or 0) > 0 then
    stream = stream:fade { type = "out", start_time = fade_out_start(shape, wanted, job),
      duration = wanted.out, color = wanted.color }
  end
  return stream
end

function audio.fade(stream, shape, wanted, job)
  if (wanted["in"] or 0) > 0 then
    stream = stream:afade { type = "in", start_time = 0, duration = wanted["in"] }
  end
  if (wanted.out or 0) > 0 then
    stream = stream:afade { type = "out", start_time = fade_out_start(shape, wanted, job),
      duration = wanted.out }
  end
  return stream
end

-- By tables, at any depth: contrast around grey, then brightness, then gamma; saturation is the
-- distance of both colour planes from grey.
function video.color(stream, _, wanted)
  local changed = {}
  local contrast, brightness = wanted.contrast or 1, wanted.brightness or 0
  local gamma, saturation = wanted.gamma or 1, wanted.saturation or 1
  if contrast ~= 1 or brightness ~= 0 or gamma ~= 1 then
    local level = ("%g*((val-minval)/(maxval-minval)-0.5)+0.5+%g"):format(contrast, brightness)
    changed.y = ("minval+(maxval-minval)*pow(clip(%s,0,1),%g)"):format(level, 1 / gamma)
  end
  if saturation ~= 1 then
    local middle = "(maxval+minval)/2"
    changed.u = ("clip(%s+%g*(val-%s),minval,maxval)"):format(middle, saturation, middle)
    changed.v = changed.u
  end
  return next(changed) and stream:lutyuv(changed) or stream
end

function audio.volume(stream, _, factor)
  return factor ~= 1 and stream:volume(factor) or stream
end

function audio.normalize(stream, shape, wanted, job)
  local changed, said = loudness.normalize(stream, {
    target = wanted.target, true_peak = wanted.true_peak, limit = wanted.limit,
    lossless = shape.lossless, rate = shape.rate,
  })
  job:note(("%s: %s"):format(shape.name, said))
  return changed
end

return effects
