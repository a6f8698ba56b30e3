local encoding = require "lib.encoding"
local geometry = require "lib.geometry"
local tracks = require "lib.tracks"

-- The containers that tell a player to turn the picture.
local turns = { mp4 = true, m4v = true, mov = true, ["3gp"] = true }

-- The picture with what the container and the codec demand of it.
local function prepare(stream, format, codec)
  local video = stream
  local step = (codec == "h264" or codec == "hevc") and 2 or 1
  local width, height = geometry.upright(stream)
  local new_width, new_height = geometry.fit(stream, nil, nil, step)
  if new_width ~= width or new_height ~= height then
    video = video:scale { w = new_width, h = new_height }
    if geometry.has_square_pixels(stream) then
      video = video:setsar(1)
    end
  end
  if format == "avi" and stream.variable_frame_rate and stream.frame_rate then
    video = video:fps(stream.frame_rate)
  end
  return video
end

return {
  summary = "Put the streams into another container, encoding only what it can't hold",
  inputs = 1,
  options = encoding.options {
    { "format", type = "enum", required = true,
      values = { "mp4", "mov", "m4v", "mkv", "webm", "avi", "mpegts", "flv", "3gp", "mp3", "m4a",
        "aac", "wav", "flac", "ogg", "opus" } },
    { "mode", type = "enum", values = { "auto", "copy", "encode" }, default = "auto",
      help = "auto copies what fits, copy encodes nothing, encode encodes sound and picture" },
  },
  examples = {
    { format = "mkv" },
    { format = "mp4", mode = "copy" },
    { format = "mp4", mode = "encode", encoder_preset = "ultrafast", crf = 30 },
  },

  check = function(options)
    local holds = av.formats[options.format]
    local codec = options.video_codec or holds.video
    if options.mode == "copy" then
      for _, name in ipairs { "video_codec", "crf", "encoder_preset" } do
        if options[name] then
          return name .. " goes with an encode, not with mode copy", name
        end
      end
    end
    if options.video_codec and not av.holds(options.format, codec) then
      return ("%s does not hold %s"):format(options.format, codec), "video_codec"
    end
    return encoding.check_crf(codec, options.crf), "crf"
  end,

  run = function(job)
    local source, options = job.input, job.options
    local format, mode = options.format, options.mode
    local holds = av.formats[format]
    local has_video, has_audio = source.video ~= nil, source.audio ~= nil
    if not has_video and not has_audio then
      job:fail("no_such_stream", "the file has neither video nor audio")
    elseif holds.video == "" and not has_audio then
      job:fail("no_such_stream", ("the file has no audio, and %s holds nothing else")
        :format(format))
    end

    -- Nil where the stream may be copied, else why it is not.
    local function obstacle(stream, codec, asked)
      local fits, reason = av.can_copy(stream, format)
      if not fits then
        return reason
      elseif stream.kind == "video" and format == "avi" and stream.variable_frame_rate then
        return "avi counts frames, and these are not evenly spaced"
      elseif stream.kind == "video" and stream.rotation ~= 0 and not turns[format] then
        return ("%s can't say that the picture is turned"):format(format)
      elseif mode == "encode" then
        return "as asked"
      elseif asked and stream.codec ~= codec or stream.kind == "video" and options.crf then
        return "as asked"
      end
    end

    local function copy_or_encode(stream, name, codec, asked, encode)
      local why = obstacle(stream, codec, asked)
      if not why then
        job:note(("%s copied: %s fits %s"):format(name, stream.codec, format))
        return stream:copy()
      elseif codec == "" then
        job:note(("%s not kept: %s"):format(name, why))
        return false
      elseif mode == "copy" then
        job:fail("invalid_option", ("%s can't be copied: %s"):format(name, why), "mode")
      end
      job:note(("%s encoded to %s: %s"):format(name, codec, why))
      return encode()
    end

    local output = tracks.all(job, source, format, {
      video = function(stream, name)
        local codec = options.video_codec or holds.video
        return copy_or_encode(stream, name, codec, options.video_codec, function()
          local crf = options.crf or encoding.levels.low[codec]
          return encoding.video(prepare(stream, format, codec), stream, {
            codec = codec, crf = crf, speed = options.encoder_preset,
          })
        end)
      end,

      audio = function(stream, name)
        local codec = holds.audio
        return copy_or_encode(stream, name, codec, false, function()
          return encoding.audio(stream, {
            codec = codec, bitrate = encoding.bitrate("low", codec, stream),
          })
        end)
      end,

      subtitle = function(stream, name)
        local track, reason = tracks.keep(job, source, stream, format, mode == "copy")
        if track then
          return track
        elseif mode == "copy" then
          job:fail("invalid_option", ("%s can't be copied: %s"):format(name, reason), "mode")
        end
        job:note(("%s not kept: %s"):format(name, reason))
      end,
    })
    output.format = format
    job:output(output)
  end,
}
