local encoding = require "lib.encoding"
local geometry = require "lib.geometry"
local target = require "lib.target"
local tracks = require "lib.tracks"

-- The preset that is meant: what only goes with "custom" alone says so.
local function preset_of(options)
  if options.preset then
    return options.preset
  end
  local custom = options.crf or options.video_bitrate or options.target_size
  return custom and "custom" or "medium"
end

-- The codec of the result, and its container.
local function result_kind(source, options)
  local codec = options.video_codec
  if not codec then
    codec = encoding.video_codec(options.format or source.family)
  end
  return codec, encoding.format(source, options.format, codec)
end

-- The picture in the size and rate that were asked for; with even sides, which 4:2:0 needs.
local function prepare(job, stream, name, options, codec)
  local video = stream
  local step = (codec == "h264" or codec == "hevc") and 2 or 1
  local width, height = geometry.upright(stream)
  local new_width, new_height = geometry.fit(stream, options.max_width, options.max_height, step)
  if new_width ~= width or new_height ~= height then
    video = video:scale { w = new_width, h = new_height, interl = stream.interlaced and 1 or 0 }
    if geometry.has_square_pixels(stream) then
      video = video:setsar(1)
    end
    job:note(("%s scaled from %dx%d to %dx%d"):format(name, width, height, new_width, new_height))
  end
  if options.fps then
    if stream.frame_rate and stream.frame_rate <= options.fps and not stream.variable_frame_rate
    then
      job:note(("%s keeps its %g frames a second"):format(name, stream.frame_rate))
    else
      video = video:fps(options.fps)
    end
  end
  return video
end

local by_size = "to meet the size"

-- Audio that is small enough already is copied. `wanted` is the most bits per second, nil for any;
-- `why_not` a reason to encode it nevertheless.
local function press_audio(job, stream, name, format, wanted, why_not)
  local codec = av.formats[format].audio
  if why_not == by_size then
    codec = target.sound_codec(format)
  end
  local fits, reason = av.can_copy(stream, format)
  local rate = stream.bit_rate or 0
  local small = not encoding.is_lossless(stream.codec) and (not wanted or rate <= wanted * 1.1)
  if fits and small and not why_not then
    job:note(("%s copied: %s fits %s"):format(name, stream.codec, format))
    return stream:copy()
  end
  local why = not fits and reason or encoding.is_lossless(stream.codec) and "it was lossless"
    or why_not
    or ("it had %d kb/s"):format(rate // 1000)
  job:note(("%s encoded to %s: %s"):format(name, codec, why))
  return encoding.audio(stream, {
    codec = codec,
    bitrate = wanted or encoding.bitrate("medium", codec, stream), exact = why_not == by_size,
  })
end

-- An audio file stays one; what can only be lossless becomes m4a.
local function audio_format(source, options)
  local own = options.format or source.family
  local codec = av.formats[own].audio
  if not options.format and (codec == "" or encoding.is_lossless(codec)) then
    return "m4a"
  end
  return own
end

-- All tracks of a result. `picture(stream)` tells how a video is encoded (crf or bitrate,
-- two_passes), `sound(stream)` the most bits per second of an audio track, nil for any, and why it
-- isn't to be copied. Decisions go to `teller`.
local function make(teller, job, codec, format, picture, sound)
  local options = job.options
  local output = tracks.all(teller, job.input, format, {
    video = function(stream, name)
      local video, how = prepare(teller, stream, name, options, codec), picture(stream)
      teller:note(("%s encoded to %s: %s"):format(name, codec,
        how.crf and ("crf %g"):format(how.crf)
          or ("%d kb/s%s"):format(how.bitrate // 1000, how.two_passes and ", two passes" or "")))
      how.codec, how.speed = codec, options.encoder_preset
      return encoding.video(video, stream, how)
    end,
    audio = function(stream, name)
      local wanted, why = sound(stream)
      return press_audio(teller, stream, name, format, options.audio_bitrate or wanted,
        options.audio_bitrate and "as asked" or why)
    end,
  })
  output.format = format
  return output
end

local function compress_by_quality(job, source, codec, format, asked)
  local options, preset = job.options, preset_of(job.options)
  local level = encoding.levels[preset] or encoding.levels.medium
  local output = make(job, job, codec, format, function()
    local crf = not options.video_bitrate and (options.crf or level[codec]) or nil
    return { crf = crf, bitrate = options.video_bitrate }
  end, function(stream)
    local own = av.formats[format].audio
    return preset ~= "custom" and encoding.bitrate(preset, own, stream) or nil, nil
  end)
  -- A result that is larger than the input helps nobody, unless something else was asked of it.
  if preset ~= "custom" and not asked and source.size then
    output.not_larger_than = source.size
    output.otherwise = function()
      job:note("the encode came out larger than the input: the input's streams are kept as "
        .. "they are")
      return source
    end
  end
  job:output(output)
end

local silent = { note = function() end }

local function compress_to_size(job, source, codec, format, asked)
  local options, size = job.options, job.options.target_size
  if source.size and source.size <= size then
    job:note(("the input has %d bytes: the result gets no more"):format(source.size))
    if not asked and tracks.can_copy_all(source, source.family) then
      job:note("the input's streams are kept as they are")
      local output = tracks.all(job, source, source.family, {})
      output.format, output.not_larger_than = source.family, size
      output.otherwise = function() return source end
      return job:output(output)
    end
    size = source.size
  end
  local budget = target.budget(source, format, size, options.audio_bitrate)
  local teller = job -- what is decided is told once
  target.output(job, size, budget, function(rate)
    local output = make(teller, job, codec, format, function(stream)
      if not rate then
        return { crf = encoding.highest_crf(codec) }
      end
      local bitrate = math.max(math.floor(rate * target.share(source, stream)), 1000)
      return { bitrate = bitrate, two_passes = codec ~= "av1" }
    end, function(stream)
      if source.video then
        local unknown = not stream.bit_rate and "the file doesn't tell its bitrate" or nil
        return target.sound_beside(budget, stream, format), unknown
      end
      return target.sound_alone(stream, format, (rate or 0) / #source.audios), by_size
    end)
    teller = silent
    return output
  end)
end

return {
  summary = "Make a file smaller",
  inputs = 1,
  options = encoding.options {
    { "preset", type = "enum", values = { "low", "medium", "high", "custom" },
      help = "how strongly: low keeps near-original quality, high makes the smallest file; "
        .. "medium, unless crf, video_bitrate or target_size make it custom" },
    { "video_bitrate", type = "bitrate", min = 1000, help = "for custom, instead of crf" },
    { "target_size", type = "size", min = 1000, unit = "bytes",
      help = "for custom, instead of crf: as near to this size as can be, never above it" },
    { "max_width", type = "integer", min = 2, max = 16384, unit = "pixels",
      help = "as shown; never enlarges" },
    { "max_height", type = "integer", min = 2, max = 16384, unit = "pixels",
      help = "as shown; never enlarges" },
    { "fps", type = "number", min = 0.1, max = 240,
      help = "frames a second, where the input has more" },
    { "audio_bitrate", type = "bitrate", min = 6000, max = 1000000 },
    { "format", type = "enum", values = { "mp4", "mov", "m4v", "mkv", "webm", "mpegts" },
      help = "container of the result; else the input's own kind" },
  },
  examples = {
    { preset = "high" },
    { preset = "custom", crf = 28, encoder_preset = "ultrafast", max_height = 240 },
    { preset = "custom", target_size = "60kB", encoder_preset = "ultrafast" },
  },

  check = function(options)
    local preset, given = preset_of(options), nil
    for _, name in ipairs { "crf", "video_bitrate", "target_size" } do
      if options[name] and preset ~= "custom" then
        return name .. " goes with preset custom", name
      elseif options[name] and given then
        return ("%s and %s exclude each other"):format(given, name), name
      end
      given = options[name] and name or given
    end
    local codec = options.video_codec or options.format ~= "webm" and "h264" or "vp9"
    return encoding.check_crf(codec, options.crf), "crf"
  end,

  run = function(job)
    local source, options = job.input, job.options
    if not source.video and not source.audio then
      job:fail("no_such_stream", "the file has neither video nor audio")
    end
    local codec, format = result_kind(source, options)
    if not source.video then
      format = audio_format(source, options)
    end
    -- What is asked for besides a size: then a result has to be made, even one that is larger.
    local asked = options.video_codec or options.max_width or options.max_height or options.fps
      or options.audio_bitrate or options.format or options.encoder_preset
    if options.target_size then
      compress_to_size(job, source, codec, format, asked)
    else
      compress_by_quality(job, source, codec, format, asked)
    end
  end,
}
