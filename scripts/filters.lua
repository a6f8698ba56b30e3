local effects = require "lib.effects"
local encoding = require "lib.encoding"
local sound = require "lib.sound"
local tracks = require "lib.tracks"

-- What can be asked for, in the order in which it is done where no other is given.
local known = {
  { "scale", type = "object", help = "the size of the picture", fields = {
    { "width", type = "integer", min = 2, max = 16384, unit = "pixels" },
    { "height", type = "integer", min = 2, max = 16384, unit = "pixels" },
    { "fit", type = "enum", values = { "inside", "pad", "crop", "stretch" }, default = "inside",
      help = "inside keeps the shape of the picture, pad adds black to it" },
  } },
  { "rotate", type = "number", min = -360, max = 360, unit = "degrees", help = "clockwise" },
  { "flip", type = "enum", values = { "horizontal", "vertical", "both" } },
  { "crop", type = "object", help = "from the middle, unless x and y say where", fields = {
    { "width", type = "integer", min = 2, max = 16384, unit = "pixels" },
    { "height", type = "integer", min = 2, max = 16384, unit = "pixels" },
    { "x", type = "integer", min = 0, max = 16384, unit = "pixels" },
    { "y", type = "integer", min = 0, max = 16384, unit = "pixels" },
  } },
  { "fps", type = "number", min = 0.1, max = 240, help = "frames a second" },
  { "deinterlace", type = "boolean", help = "where the video is interlaced" },
  { "denoise", type = "enum", values = { "light", "medium", "strong" } },
  { "sharpen", type = "number", min = 0, max = 5, help = "1 is usual" },
  { "fade", type = "object", help = "picture and sound from and to nothing", fields = {
    { "in", type = "time", min = 0, max = 3600 },
    { "out", type = "time", min = 0, max = 3600 },
    { "color", type = "color", default = "black" },
    { "streams", type = "enum", values = { "both", "video", "audio" }, default = "both" },
  } },
  { "color", type = "object", fields = {
    { "brightness", type = "number", min = -1, max = 1, help = "0 changes nothing" },
    { "contrast", type = "number", min = 0, max = 10, help = "1 changes nothing" },
    { "saturation", type = "number", min = 0, max = 10, help = "1 changes nothing, 0 is grey" },
    { "gamma", type = "number", min = 0.1, max = 10, help = "1 changes nothing" },
  } },
  { "volume", type = "number", decibel = true, min = 0, max = 100,
    help = "a factor, or decibels with their unit: 0.5 or \"-6dB\"" },
  { "normalize", type = "object", help = "loudness by EBU R128", fields = {
    { "target", type = "number", min = -70, max = -5, default = -23, unit = "LUFS" },
    { "true_peak", type = "number", min = -20, max = 0, default = -1, unit = "dBTP" },
    { "limit", type = "boolean", default = false,
      help = "reach the target with a limiter where peaks forbid it" },
  } },
}

-- Adds what an object asks for as { name, value }, in the documented order.
local function add_steps(steps, object)
  for _, option in ipairs(known) do
    local name = option[1]
    if object[name] ~= nil then
      table.insert(steps, { name = name, value = object[name] })
    end
  end
  return steps
end

-- All steps, those of a list in its order.
local function steps_of(options)
  local steps = add_steps({}, options)
  for _, object in ipairs(options.filters or {}) do
    add_steps(steps, object)
  end
  return steps
end

-- True if a step is for a kind of stream.
local function is_for(step, kind)
  local only = step.name == "fade" and step.value.streams
  return effects[kind][step.name] and (not only or only == "both" or only == kind)
end

local function any_for(steps, kind)
  for _, step in ipairs(steps) do
    if is_for(step, kind) then
      return true
    end
  end
  return false
end

-- The stream after all steps for it; the same stream if none of them had anything to do.
local function apply(job, stream, shape, steps)
  local changed, done = stream, {}
  for _, step in ipairs(steps) do
    if is_for(step, stream.kind) then
      local before = changed
      changed = effects[stream.kind][step.name](before, shape, step.value, job)
      if changed ~= before then
        table.insert(done, step.name)
      end
    end
  end
  return changed, table.concat(done, ", ")
end

local own_options = {
  { "filters", type = "list", single = true, min = 1, max = 50,
    of = { type = "object", fields = known },
    help = "a list of filters to apply in its order, instead of the options of their names" },
  { "format", type = "enum",
    values = { "mp4", "mov", "m4v", "mkv", "webm", "mpegts", "mp3", "m4a", "wav", "flac", "ogg",
      "opus" },
    help = "container of the result; else the input's own kind" },
}

return {
  summary = "Scale, crop, turn, sharpen, fade, change colours, volume and loudness",
  inputs = 1,
  options = encoding.options(table.move(own_options, 1, #own_options, #known + 1,
    table.move(known, 1, #known, 1, {}))),
  examples = {
    { scale = { width = 160 }, volume = 0.5, encoder_preset = "ultrafast" },
    { filters = { { rotate = 90 }, { crop = { width = 100, height = 100 } }, { sharpen = 1 } },
      encoder_preset = "ultrafast" },
    { normalize = {} },
  },

  check = function(options)
    if #steps_of(options) == 0 then
      return "no filter is asked for", "filters"
    elseif options.filters and #add_steps({}, options) > 0 then
      return "filters come as a list or by their names, not both", "filters"
    end
    local codec = options.video_codec or encoding.video_codec(options.format)
    return encoding.check_crf(codec, options.crf), "crf"
  end,

  run = function(job)
    local source, options = job.input, job.options
    local steps = steps_of(options)
    local sees, hears = any_for(steps, "video"), any_for(steps, "audio")
    if not (sees and source.video) and not (hears and source.audio) then
      job:fail("no_such_stream", ("the file has no %s")
        :format(not sees and "audio" or not hears and "video" or "video and no audio"))
    end
    local codec = options.video_codec
      or encoding.video_codec(options.format or source.family)
    local format
    if not source.video then
      format = sound.format(source, options.format)
    elseif sees then
      format = encoding.format(source, options.format, codec)
      if not av.holds(format, codec) then
        job:fail("invalid_option", ("%s does not hold %s"):format(format, codec),
          options.video_codec and "video_codec" or "format")
      end
    else
      format = options.format or source.family
    end
    local zero = effects.first_time(source)

    local function copied(stream, name)
      local track, reason = tracks.keep(job, source, stream, format)
      job:note(track and ("%s copied: no filter touches it"):format(name)
        or ("%s not kept: %s"):format(name, reason))
      return track
    end

    local output = tracks.all(job, source, format, {
      video = function(stream, name)
        local shape = effects.shape(stream, zero)
        local changed, done = apply(job, stream, shape, steps)
        if changed == stream then
          return copied(stream, name)
        end
        if codec == "h264" or codec == "hevc" then
          changed = effects.even(changed, shape)
        end
        job:note(("%s encoded to %s: %s"):format(name, codec, done))
        return encoding.video(changed, stream, {
          codec = codec, crf = options.crf or encoding.levels.low[codec],
          speed = options.encoder_preset,
        })
      end,

      audio = function(stream, name)
        local own = sound.codec(format, stream)
        local shape = effects.shape(stream, zero)
        shape.name, shape.rate = name, stream.sample_rate
        shape.lossless = encoding.is_lossless(own)
        local changed, done = apply(job, stream, shape, steps)
        if changed == stream or own == "" then
          return copied(stream, name)
        end
        job:note(("%s encoded to %s: %s"):format(name, own, done))
        return sound.encode(changed, stream, format)
      end,
    })
    output.format = format
    job:output(output)
  end,
}
