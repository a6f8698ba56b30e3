-- Codecs, containers and quality: the one place that knows the numbers.
--
-- Quality is named by crf, whose scale differs from codec to codec; speed by x264's preset names,
-- which are translated for the others.

local encoding = {}

encoding.video_codecs = { "h264", "hevc", "vp9", "av1" }

encoding.speeds = {
  "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
}

-- About the same picture for each of the codecs, and bits per second for each audio channel.
encoding.levels = {
  low = { h264 = 20, hevc = 22, vp9 = 30, av1 = 28, audio = 96000 },
  medium = { h264 = 26, hevc = 28, vp9 = 37, av1 = 36, audio = 64000 },
  high = { h264 = 32, hevc = 34, vp9 = 45, av1 = 46, audio = 48000 },
}

local highest_crf = { h264 = 51, hevc = 51, vp9 = 63, av1 = 63 }

local vp9_speed = {
  ultrafast = 8, superfast = 7, veryfast = 6, faster = 5, fast = 4, medium = 3, slow = 2,
  slower = 1, veryslow = 0,
}
local av1_speed = {
  ultrafast = 12, superfast = 11, veryfast = 10, faster = 9, fast = 8, medium = 7, slow = 6,
  slower = 5, veryslow = 4,
}

-- The options that every operation which encodes video has, for its list of options.
function encoding.options(list)
  local common = {
    { "video_codec", type = "enum", values = encoding.video_codecs,
      help = "codec of the result; else h264, or vp9 in webm" },
    { "crf", type = "number", min = 0, max = 63,
      help = "constant quality: lower is better and larger; to 51 for h264 and hevc" },
    { "encoder_preset", type = "enum", values = encoding.speeds,
      help = "slower makes smaller files of the same quality" },
  }
  for _, option in ipairs(common) do
    table.insert(list, option)
  end
  return list
end

-- The crf that makes the smallest files of the codec.
function encoding.highest_crf(codec)
  return highest_crf[codec]
end

-- What is wrong with a crf for the codec, or nil.
function encoding.check_crf(codec, crf)
  local highest = highest_crf[codec]
  if crf and highest and crf > highest then
    return ("the crf of %s goes to %d"):format(codec, highest)
  end
end

-- The container of a result that is to hold the codec: what was asked for, else the input's own
-- kind of file, else mp4.
function encoding.format(source, wanted, codec)
  if wanted then
    return wanted
  end
  local own = source.family
  if not codec or av.holds(own, codec) then
    return own
  end
  return "mp4"
end

-- The video codec for a container, where none was asked for.
function encoding.video_codec(format)
  return format == "webm" and "vp9" or "h264"
end

local rgb = { gbr = true, rgb = true, bgr = true, arg = true, abg = true, ["0rg"] = true,
  ["0bg"] = true, pal = true }

-- Encodes video that was made from the input's stream. `how`: codec, crf or bitrate (and whether it
-- is to be met in two passes, where the encoder can), speed, and frame_rate if that is constant.
function encoding.video(video, stream, how)
  local settings = { codec = how.codec, crf = how.crf, bitrate = how.bitrate,
    frame_rate = how.frame_rate }
  if how.two_passes and how.codec ~= "av1" then
    settings.passes = 2
  end
  local speed = how.speed or "medium"
  if how.codec == "h264" or how.codec == "hevc" then
    settings.preset = speed
  elseif how.codec == "vp9" then
    settings["cpu-used"] = vp9_speed[speed]
    settings["row-mt"] = 1
  elseif how.codec == "av1" then
    settings.preset = av1_speed[speed]
  end
  -- These codecs think in luma and chroma; RGB would become 4:4:4, which few players show.
  if rgb[(stream.pixel_format or ""):sub(1, 3)] then
    settings.pixel_format = "yuv420p"
  end
  return video:encode(settings)
end

local lossless = {
  flac = true, alac = true, truehd = true, mlp = true, ape = true, wavpack = true, tta = true,
}

-- True for a codec that keeps every sample.
function encoding.is_lossless(codec)
  return codec and (lossless[codec] or codec:sub(1, 4) == "pcm_")
end

local most_channels = { mp3 = 2, aac = 8, opus = 8, vorbis = 8, flac = 8, ac3 = 6, mp2 = 2 }

-- Opus and Vorbis number their channels their own way, and take only these layouts.
local vorbis_layouts = { "mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1" }

local sample_rates = {
  opus = { 8000, 12000, 16000, 24000, 48000 },
  mp3 = { 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000 },
  aac = { 7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200,
    96000 },
}

-- What is wrong with a sample rate for the codec, or nil.
function encoding.check_sample_rate(codec, rate)
  if not rate or not sample_rates[codec] then
    return nil
  end
  for _, known in ipairs(sample_rates[codec]) do
    if known == rate then
      return nil
    end
  end
  return ("%s has no sample rate of %d Hz; it has %s"):format(codec, rate,
    table.concat(sample_rates[codec], ", "))
end

-- How many channels the codec can carry of the stream's.
function encoding.channels(codec, channels)
  return math.min(channels or 2, most_channels[codec] or 32)
end

-- Bits per second for a stream's sound at a level; nil for a codec that is lossless.
function encoding.bitrate(level, codec, stream)
  if not encoding.is_lossless(codec) then
    return encoding.levels[level].audio * encoding.channels(codec, stream.channels)
  end
end

-- Encodes audio. `how`: codec, and any of bitrate, quality (qscale), sample_rate, channels; with
-- `exact` also bitrates between those that the codec has steps for.
function encoding.audio(stream, how)
  local channels = encoding.channels(how.codec, how.channels or stream.channels)
  local settings = {
    codec = how.codec, bitrate = how.bitrate, quality = how.quality, sample_rate = how.sample_rate,
  }
  if how.exact and how.codec == "mp3" then
    settings.abr = true
  end
  if how.codec == "opus" or how.codec == "vorbis" then
    settings.layout = vorbis_layouts[channels]
  elseif channels ~= stream.channels then
    settings.channels = channels
  end
  return stream:encode(settings)
end

return encoding
