local encoding = require "lib.encoding"
local ranges = require "lib.ranges"
local sound = require "lib.sound"
local tracks = require "lib.tracks"

-- How the parts that can't be copied are encoded: close to the original, for they are short.
local close = { h264 = 17, hevc = 19, vp9 = 24, av1 = 24 }
local close_quality = { mpeg4 = 2, mpeg1video = 2, mpeg2video = 2, h263 = 2, flv1 = 2 }

local function encode_beside(part, stream, options)
  local codec = stream.codec
  if close[codec] then
    return encoding.video(part, stream, {
      codec = codec, crf = options.crf or close[codec], speed = options.encoder_preset or "fast",
    })
  end
  if codec == "vp8" then -- within a bit rate that it won't need
    return part:encode { codec = codec, crf = options.crf or 8, bitrate = 20000000,
      ["cpu-used"] = 5 }
  end
  return part:encode { codec = codec, quality = close_quality[codec] }
end

local function copy(part)
  return part:copy()
end

-- Ranges moved to where keyframes let the picture be copied; what then touches becomes one.
local function move_to_keyframes(job, source, list)
  local moved = {}
  for _, range in ipairs(list) do
    local parts, reason = ranges.part(source, source.video, range):parts { keyframes = true }
    if reason then
      job:fail("invalid_option", "video can't be copied: " .. reason, "mode")
    end
    local start, stop = parts[1].start, parts[1].stop
    local last = moved[#moved]
    if last and start <= last.stop then
      last.stop = stop
    else
      table.insert(moved, { start = start, stop = stop })
    end
  end
  job:note("cut at keyframes: " .. ranges.text(moved) .. " instead of " .. ranges.text(list))
  return moved
end

-- Ranges whose cuts are moved to the next picture, so that each lasts as long as its pictures.
local function move_to_pictures(source, list)
  local moved = {}
  for number, range in ipairs(list) do
    local parts = ranges.part(source, source.video, range):parts()
    moved[number] = { start = parts[1].start, stop = parts[#parts].stop }
  end
  return moved
end

-- A stream of video as it is wherever possible, the rest encoded to go with it. Returns the track
-- and what was done, or nil and why it can't be.
local function smart(source, stream, list, options)
  local segments, told, copied, reason = {}, {}, 0, nil
  if options.video_codec and options.video_codec ~= stream.codec then
    return nil, "as asked"
  end
  for number, range in ipairs(list) do
    local parts, why = ranges.part(source, stream, range):parts { behind = number > 1 }
    reason = reason or why
    for _, part in ipairs(parts) do
      copied = copied + (part.copied and 1 or 0)
      local track = part.copied and part.stream:copy()
        or encode_beside(part.stream, stream, options)
      table.insert(segments, { track, duration = part.duration })
      table.insert(told, ("%s %s"):format(ranges.text { part },
        part.copied and "copied" or "encoded"))
    end
  end
  if copied == 0 then
    return nil, reason
  end
  local joins, track = pcall(av.sequence, segments)
  if not joins then
    return nil, ranges.reason(track)
  end
  return track, "cut exactly: " .. table.concat(told, ", ")
end

return {
  summary = "Cut out one range or several, copying all that can be copied",
  inputs = 1,
  options = ranges.options(encoding.options {
    { "mode", type = "enum", values = { "smart", "copy", "encode" }, default = "smart",
      help = "smart is exact and encodes only around the cuts, copy cuts at keyframes, "
        .. "encode is exact and encodes everything" },
    { "format", type = "enum",
      values = { "mp4", "mov", "m4v", "mkv", "webm", "avi", "mpegts", "flv", "3gp", "mp3", "m4a",
        "aac", "wav", "flac", "ogg", "opus" },
      help = "container of the result; else the input's own kind" },
  }),
  examples = {
    { start = 0.5, ["end"] = 1.5 },
    { start = 0.5, duration = 0.7, mode = "encode", encoder_preset = "ultrafast", crf = 30 },
    { start = 0.5, mode = "copy" },
    { segments = { { start = 0.2, ["end"] = 0.8 }, { start = 1.2, ["end"] = 1.6 } } },
  },

  check = function(options)
    local problem, name = ranges.check(options)
    if problem then
      return problem, name
    end
    for _, other in ipairs { "video_codec", "crf", "encoder_preset" } do
      if options.mode == "copy" and options[other] then
        return other .. " goes with an encode, not with mode copy", other
      end
    end
    return encoding.check_crf(options.video_codec or "h264", options.crf), "crf"
  end,

  run = function(job)
    local source, options, mode = job.input, job.options, job.options.mode
    if not source.video and not source.audio then
      job:fail("no_such_stream", "the file has neither video nor audio")
    end
    local list = ranges.of(job, options)
    if source.video and mode == "copy" then
      list = move_to_keyframes(job, source, list)
    elseif source.video then
      list = move_to_pictures(source, list)
    end

    local function join(stream, make)
      return ranges.join(source, stream, list, make)
    end

    -- What can be copied is found before the container is chosen: it must hold what can't be.
    local format = options.format or source.family
    local codec = options.video_codec or encoding.video_codec(format)
    local kept, why = {}, {}
    for _, stream in ipairs(source.videos) do
      local fits, obstacle = av.can_copy(stream, format)
      if mode == "encode" then
        why[stream.index] = "as asked"
      elseif not fits then
        why[stream.index] = obstacle
      elseif mode == "copy" then
        local joins, track = pcall(join, stream, copy)
        kept[stream.index] = joins and track
        why[stream.index] = joins and "copied" or ranges.reason(track)
      else
        kept[stream.index], why[stream.index] = smart(source, stream, list, options)
      end
      if not kept[stream.index] then
        format = encoding.format(source, options.format, codec)
      end
    end
    if not source.video and mode == "encode" then
      format = sound.format(source, options.format)
    end

    local output = tracks.all(job, source, format, {
      video = function(stream, name)
        local track, reason = kept[stream.index], why[stream.index]
        if track then
          job:note(("%s %s"):format(name, reason))
          return track
        elseif mode == "copy" then
          job:fail("invalid_option", ("%s can't be copied: %s"):format(name, reason), "mode")
        end
        job:note(("%s encoded to %s: %s"):format(name, codec, reason))
        return encoding.video(join(stream), stream, {
          codec = codec, crf = options.crf or encoding.levels.low[codec],
          speed = options.encoder_preset,
        })
      end,

      audio = function(stream, name)
        local fits, obstacle = av.can_copy(stream, format)
        local own = sound.codec(format, stream)
        local exact = encoding.is_lossless(stream.codec) and own == stream.codec
        if mode == "copy" and not fits then
          job:fail("invalid_option", ("%s can't be copied: %s"):format(name, obstacle), "mode")
        elseif mode == "copy" or mode == "smart" and fits and not exact then
          job:note(("%s copied, cut between packets"):format(name))
          return join(stream, copy)
        end
        job:note(("%s encoded to %s, cut to the sample: %s"):format(name, own,
          mode == "encode" and "as asked" or not fits and obstacle or "nothing is lost by it"))
        return sound.encode(join(stream), stream, format)
      end,

      subtitle = function(stream, name)
        local fits, obstacle = av.can_copy(stream, format)
        local text = av.formats[format].subtitle
        if fits then
          return join(stream, copy)
        elseif mode == "copy" then
          job:fail("invalid_option", ("%s can't be copied: %s"):format(name, obstacle), "mode")
        elseif not tracks.is_text(stream) or text == "" then
          job:note(("%s not kept: %s"):format(name, obstacle))
          return false
        end
        job:note(("%s rewritten as %s: %s"):format(name, text, obstacle))
        return join(stream, function(part) return part:encode { codec = text } end)
      end,

      data = function(stream, name)
        local fits, obstacle = av.can_copy(stream, format)
        if fits then
          return join(stream, copy)
        end
        job:note(("%s not kept: %s"):format(name, obstacle))
      end,
    })
    output.format = format
    output.chapters = ranges.chapters(source, list)
    job:output(output)
  end,
}
