local effects = require "lib.effects"
local encoding = require "lib.encoding"
local sound = require "lib.sound"
local tempo = require "lib.tempo"
local tracks = require "lib.tracks"

-- New frames between those that there are, at the input's own rate. The last frame is held for as
-- long as it was shown: these filters end with it.
local function fill(video, shape, rate, factor, smooth)
  if shape.interlaced then
    video = video:bwdif()
  end
  video = video:tpad { stop = 3, stop_mode = "clone" }:setpts("PTS/" .. factor)
  if smooth == "blend" then
    video = video:framerate { fps = rate, interp_start = 0, interp_end = 255 }
  else
    video = video:minterpolate { fps = rate, mi_mode = "mci", mc_mode = "aobmc" }
  end
  if shape.stop then
    video = video:trim { end_ = shape.stop / factor }
  end
  return video
end

-- The picture at another speed: frames closer together, of which no more are kept than the input
-- had in a second, or further apart.
local function change_picture(stream, shape, factor, smooth)
  local rate = stream.frame_rate
  -- a fine clock, so that no frame moves when its time is divided
  local video = stream:settb { expr = "1/90000" }
  if factor < 1 and smooth ~= "none" and rate then
    return fill(video, shape, rate, factor, smooth)
  end
  video = video:setpts("PTS/" .. factor)
  if rate and factor > 1 then
    -- a picture that is the only one stays, however short it gets
    return video:fps { fps = rate, eof_action = "pass" }
  elseif rate and not stream.variable_frame_rate then
    return video:fps(rate * factor)
  end
  return video
end

return {
  summary = "Change the playback speed, keeping the pitch of voices",
  inputs = 1,
  options = encoding.options {
    { "factor", type = "number", min = 0.25, max = 10, required = true,
      help = "2 plays twice as fast, 0.5 at half the speed" },
    { "preserve_pitch", type = "boolean", default = true,
      help = "without, the pitch goes with the speed" },
    { "smooth", type = "enum", values = { "none", "blend", "motion" }, default = "none",
      help = "for slow motion: frames in between are blended, or made by following motion" },
    { "format", type = "enum",
      values = { "mp4", "mov", "m4v", "mkv", "webm", "mpegts", "mp3", "m4a", "wav", "flac", "ogg",
        "opus" },
      help = "container of the result; else the input's own kind" },
  },
  examples = {
    { factor = 1.5 },
    { factor = 0.5, smooth = "blend", encoder_preset = "ultrafast" },
    { factor = 3, preserve_pitch = false, encoder_preset = "ultrafast" },
  },

  check = function(options)
    local codec = options.video_codec or encoding.video_codec(options.format)
    return encoding.check_crf(codec, options.crf), "crf"
  end,

  run = function(job)
    local source, options = job.input, job.options
    local factor, smooth = options.factor, options.smooth
    if not source.video and not source.audio then
      job:fail("no_such_stream", "the file has neither video nor audio")
    end
    local zero = effects.first_time(source)
    local codec, format
    if source.video then
      codec = options.video_codec or encoding.video_codec(options.format or source.family)
      format = encoding.format(source, options.format, codec)
      if not av.holds(format, codec) then
        job:fail("invalid_option", ("%s does not hold %s"):format(format, codec),
          options.video_codec and "video_codec" or "format")
      end
    else
      format = sound.format(source, options.format)
    end
    if smooth ~= "none" and factor >= 1 then
      job:note("smooth is for slow motion: not used")
    end

    local function retimed(stream, name)
      local track, reason = tracks.keep(job, source, stream:retime(1 / factor), format)
      job:note(track and ("%s retimed"):format(name) or ("%s not kept: %s"):format(name, reason))
      return track
    end

    -- At its own speed a stream stays what it is.
    local function copied(stream, name, asked)
      if factor == 1 and not asked and av.can_copy(stream, format) then
        job:note(("%s copied: its speed stays"):format(name))
        return stream:copy()
      end
    end

    local output = tracks.all(job, source, format, {
      video = function(stream, name)
        local track = copied(stream, name, options.video_codec or options.crf)
        if track then
          return track
        elseif smooth == "motion" and factor < 1
          and (stream.pixel_format or ""):find "1[0-6][lb]e$"
        then
          job:note(("%s made 8 bits deep: motion is followed in no more"):format(name))
        end
        job:note(("%s encoded to %s: %g times as fast"):format(name, codec, factor))
        local shape = effects.shape(stream, zero)
        local video = change_picture(stream, shape, factor, smooth)
        if codec == "h264" or codec == "hevc" then
          video = effects.even(video, shape)
        end
        return encoding.video(video, stream, {
          codec = codec, crf = options.crf or encoding.levels.low[codec],
          speed = options.encoder_preset,
        })
      end,

      audio = function(stream, name)
        local own = sound.codec(format, stream)
        local track = copied(stream, name)
        if track then
          return track
        elseif own == "" then
          job:note(("%s not kept: %s holds no sound"):format(name, format))
          return false
        end
        job:note(("%s encoded to %s, %s"):format(name, own,
          options.preserve_pitch and "at its own pitch" or "its pitch with the speed"))
        return sound.encode(tempo.change(stream, factor, options.preserve_pitch), stream, format)
      end,

      subtitle = retimed,
      data = retimed,
    })
    output.format = format
    output.chapters = source.chapters:retime(1 / factor)
    job:output(output)
  end,
}
