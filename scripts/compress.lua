local encoding = require "lib.encoding"
local geometry = require "lib.geometry"
local tracks = require "lib.tracks"

-- The preset that is meant: crf or video_bitrate alone say "custom".
local function preset_of(options)
  if options.preset then
    return options.preset
  end
  return (options.crf or options.video_bitrate) and "custom" or "medium"
end

-- The codec of the result, and its container.
local function target(source, options)
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

-- Audio that is small enough already is copied. `wanted` is the most bits per second, nil for any.
local function press_audio(job, stream, name, format, wanted, asked)
  local codec = av.formats[format].audio
  local fits, reason = av.can_copy(stream, format)
  local rate = stream.bit_rate or 0
  local small = not encoding.is_lossless(stream.codec) and (not wanted or rate <= wanted * 1.1)
  if fits and small and not asked then
    job:note(("%s copied: %s fits %s"):format(name, stream.codec, format))
    return stream:copy()
  end
  local why = not fits and reason or encoding.is_lossless(stream.codec) and "it was lossless"
    or asked and "as asked"
    or ("it had %d kb/s"):format(rate // 1000)
  job:note(("%s encoded to %s: %s"):format(name, codec, why))
  return encoding.audio(stream, {
    codec = codec,
    bitrate = wanted or encoding.bitrate("medium", codec, stream),
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

return {
  summary = "Make a file smaller",
  inputs = 1,
  options = encoding.options {
    { "preset", type = "enum", values = { "low", "medium", "high", "custom" },
      help = "how strongly: low keeps near-original quality, high makes the smallest file; "
        .. "medium, unless crf or video_bitrate make it custom" },
    { "video_bitrate", type = "bitrate", min = 1000, help = "for custom, instead of crf" },
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
  },

  check = function(options)
    local preset = preset_of(options)
    if preset ~= "custom" and options.crf then
      return "crf goes with preset custom", "crf"
    elseif preset ~= "custom" and options.video_bitrate then
      return "video_bitrate goes with preset custom", "video_bitrate"
    elseif options.crf and options.video_bitrate then
      return "crf and video_bitrate exclude each other", "video_bitrate"
    end
    local codec = options.video_codec or options.format ~= "webm" and "h264" or "vp9"
    return encoding.check_crf(codec, options.crf), "crf"
  end,

  run = function(job)
    local source, options = job.input, job.options
    if not source.video and not source.audio then
      job:fail("no_such_stream", "the file has neither video nor audio")
    end
    local preset = preset_of(options)
    local level = encoding.levels[preset] or encoding.levels.medium
    local codec, format = target(source, options)
    if not source.video then
      format = audio_format(source, options)
    end

    local function press_video(stream, name)
      local video = prepare(job, stream, name, options, codec)
      local crf = not options.video_bitrate and (options.crf or level[codec]) or nil
      job:note(("%s encoded to %s: %s"):format(name, codec, crf and ("crf %g"):format(crf)
        or ("%d kb/s"):format(options.video_bitrate // 1000)))
      return encoding.video(video, stream, {
        codec = codec, crf = crf, bitrate = options.video_bitrate, speed = options.encoder_preset,
      })
    end

    local function audio(stream, name)
      local wanted = options.audio_bitrate
      if not wanted and preset ~= "custom" then
        wanted = encoding.bitrate(preset, av.formats[format].audio, stream)
      end
      return press_audio(job, stream, name, format, wanted, options.audio_bitrate)
    end

    local output = tracks.all(job, source, format, { video = press_video, audio = audio })
    output.format = format

    -- A result that is larger than the input helps nobody, unless something else was asked of it.
    local asked = options.video_codec or options.max_width or options.max_height or options.fps
      or options.audio_bitrate or options.format or options.encoder_preset
    if preset ~= "custom" and not asked and source.size then
      output.not_larger_than = source.size
      output.otherwise = function()
        job:note("the encode came out larger than the input: the input's streams are kept as "
          .. "they are")
        return source
      end
    end
    job:output(output)
  end,
}
