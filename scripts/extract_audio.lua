local encoding = require "lib.encoding"
local tracks = require "lib.tracks"

-- For each format: the codec to encode with, the codecs that are right as they are, and what
-- `quality` (0 to 10) means to the encoder. Bits per second are for each channel.
local formats = {
  mp3 = { codec = "mp3", right = { mp3 = true }, bitrate = 96000,
    quality = function(q) return { quality = 9.9 - q * 0.99 } end },
  aac = { codec = "aac", right = { aac = true }, bitrate = 80000,
    quality = function(q) return { bitrate = 24000 + q * 13600 } end },
  m4a = { codec = "aac", right = { aac = true, alac = true }, bitrate = 80000,
    quality = function(q) return { bitrate = 24000 + q * 13600 } end },
  opus = { codec = "opus", right = { opus = true }, bitrate = 64000,
    quality = function(q) return { bitrate = 12000 + q * 11600 } end },
  ogg = { codec = "vorbis", right = { vorbis = true, opus = true }, bitrate = 80000,
    quality = function(q) return { quality = q } end },
  wav = { codec = "pcm_s16le", lossless = true,
    right = { pcm_s16le = true, pcm_s24le = true, pcm_s32le = true, pcm_f32le = true,
      pcm_u8 = true } },
  flac = { codec = "flac", right = { flac = true }, lossless = true },
}

-- WAV in the depth that the sound has.
local function wav_codec(stream)
  local depth = stream.bits_per_sample or 0
  if encoding.is_lossless(stream.codec) then
    if stream.codec:find("pcm_f", 1, true) then
      return "pcm_f32le"
    elseif depth > 24 then
      return "pcm_s32le"
    elseif depth > 16 then
      return "pcm_s24le"
    end
  end
  return "pcm_s16le"
end

return {
  summary = "Save the sound of a file as an audio file",
  inputs = 1,
  options = {
    { "format", type = "enum", required = true,
      values = { "mp3", "aac", "wav", "opus", "m4a", "flac", "ogg" } },
    { "bitrate", type = "bitrate", min = 6000, max = 1000000, help = "bits per second, in all" },
    { "quality", type = "number", min = 0, max = 10,
      help = "instead of bitrate: 0 is the smallest, 10 the best" },
    { "sample_rate", type = "integer", min = 4000, max = 192000, unit = "Hz" },
    { "channels", type = "integer", min = 1, max = 8 },
    { "track", type = "integer", min = 1, max = 100,
      help = "1 is the first audio track; else the usual choice" },
    { "start", type = "time", min = 0 },
    { "end", type = "time", min = 0 },
  },
  examples = {
    { format = "m4a" },
    { format = "mp3", quality = 4, channels = 1 },
    { format = "wav", start = 0, ["end"] = 0.5 },
  },

  check = function(options)
    local target = formats[options.format]
    if options.bitrate and options.quality then
      return "bitrate and quality exclude each other", "quality"
    elseif target.lossless and (options.bitrate or options.quality) then
      return options.format .. " is lossless: it has neither bitrate nor quality",
        options.bitrate and "bitrate" or "quality"
    elseif options["end"] and options["end"] <= (options.start or 0) then
      return "end must be after start", "end"
    end
    local problem = encoding.check_sample_rate(target.codec, options.sample_rate)
    if problem then
      return problem, "sample_rate"
    end
    local channels = options.channels
    if channels and encoding.channels(target.codec, channels) < channels then
      return ("%s has at most %d channels"):format(options.format,
        encoding.channels(target.codec, channels)), "channels"
    end
  end,

  run = function(job)
    local source, options = job.input, job.options
    local format, target = options.format, formats[options.format]
    local stream = source.audio
    if not stream then
      job:fail("no_such_stream", "the file has no audio")
    elseif options.track then
      stream = source.audios[options.track]
      if not stream then
        job:fail("no_such_stream", ("there is no audio track %d: the file has %d")
          :format(options.track, #source.audios), "track")
      end
    end
    if options.start and source.duration and options.start >= source.duration then
      job:fail("invalid_option", ("the file ends at %.3f s"):format(source.duration), "start")
    end

    local name = tracks.name(source, stream)
    local changed = options.bitrate or options.quality or options.sample_rate or options.channels
    local cut = options.start or options["end"]
    local fits, reason = av.can_copy(stream, format)
    local track
    if fits and target.right[stream.codec] and not changed and not cut then
      job:note(("%s copied: %s fits %s"):format(name, stream.codec, format))
      track = stream:copy()
    else
      local codec = format == "wav" and wav_codec(stream) or target.codec
      local why = not (fits and target.right[stream.codec]) and (reason or stream.codec)
        or "as asked"
      job:note(("%s encoded to %s: %s"):format(name, codec, why))
      local wanted = math.tointeger(options.channels) or stream.channels or 2
      local channels = encoding.channels(codec, wanted)
      if channels < wanted then
        job:note(("%s mixed down from %d to %d channels"):format(name, wanted, channels))
      end
      local how = options.quality and target.quality(options.quality) or {}
      how.bitrate = options.bitrate or how.bitrate and math.floor(how.bitrate * channels)
        or not how.quality and target.bitrate and target.bitrate * channels or nil
      how.codec, how.sample_rate, how.channels = codec, options.sample_rate, channels
      local part = stream
      if cut then
        local range = source:between(options.start or 0, options["end"])
        part = range.streams[stream.index + 1]
      end
      track = encoding.audio(part, how)
    end

    local output = { track, format = format }
    for _, picture in ipairs(source.pictures) do
      local kept, obstacle = av.can_copy(picture, format)
      if kept then
        table.insert(output, picture:copy())
      else
        job:note("cover picture not kept: " .. obstacle)
      end
    end
    job:output(output)
  end,
}
