local captions = require "lib.captions"
local collect = require "lib.collect"
local encoding = require "lib.encoding"
local join = require "lib.join"
local sound = require "lib.sound"
local tracks = require "lib.tracks"
local transition = require "lib.transition"

-- What `get` finds in the first part in which it finds something.
local function first_with(parts, get)
  for _, part in ipairs(parts) do
    local found = get(part)
    if found then
      return found
    end
  end
end

-- The container: what was asked for, else the kind of file that the first with the main stream is,
-- unless that can't hold what others have.
local function choose_format(parts, options, reference, sounding)
  local own = first_with(parts, function(part)
    return (part.video or not reference) and part.source.family
  end)
  if options.format or not reference then
    return sound.format(parts[1].source, options.format or own)
  end
  local holds = av.holds(own, options.video_codec or encoding.video_codec(own))
  return holds and not (sounding and av.formats[own].audio == "") and own or "mp4"
end

-- Why the pictures can't be copied; nil if nothing but their own kind speaks against it.
local function asked_for_pictures(options, reference)
  if options.mode == "encode" then
    return "as asked"
  elseif options.transition then
    return "for the transitions"
  elseif options.width or options.height or options.fps then
    return "for the size or rate that was asked for"
  elseif options.video_codec and options.video_codec ~= reference.codec then
    return ("%s was asked for"):format(options.video_codec)
  end
end

-- ---- pictures ----

local function encode(video, reference, codec, options, frame_rate)
  return encoding.video(video, reference, {
    codec = codec, crf = options.crf or encoding.levels.low[codec], speed = options.encoder_preset,
    frame_rate = frame_rate,
  })
end

-- All parts' pictures as one stream of frames.
local function all_pictures(parts, picture)
  local segments = {}
  for number, part in ipairs(parts) do
    segments[number] = { part.video and join.unify(part.video, part.video, picture)
      or join.black(part.length, picture), duration = part.length }
  end
  return av.sequence(segments)
end

-- Those that are like the first copied, the others encoded to be like it; nil and why where that
-- can't be. `unlike` has the reason for each that differs, by number.
local function copy_pictures(parts, reference, unlike, options)
  if next(unlike) and not join.can_imitate(reference) then
    return nil, "not all are alike"
  end
  local picture, segments = join.picture(reference, { fit = options.fit }, reference.codec), {}
  for number, part in ipairs(parts) do
    local track
    if unlike[number] then
      local video = part.video and join.unify(part.video, part.video, picture)
        or join.black(part.length, picture)
      track = encode(video, reference, reference.codec, options)
    else
      track = part.video:copy()
    end
    segments[number] = { track, duration = part.length }
  end
  return join.try(segments)
end

local function join_pictures(job, parts, reference, format)
  local options = job.options
  local why = asked_for_pictures(options, reference)
  local fits, reason = av.can_copy(reference, format)
  why = why or not fits and reason or nil
  local unlike, said = {}, collect.notes(job)
  for number, part in ipairs(parts) do
    unlike[number] = not part.video and "there is none"
      or join.unlike(part.video, reference)
      or not why and part.video ~= reference and join.unjoinable(part.video, reference)
      or nil
    if unlike[number] then
      said.add(part.video and "video fitted" or "black for video", unlike[number], part)
    end
    if options.mode == "copy" and (why or unlike[number]) then
      job:fail("invalid_option", ("the video of '%s' can't be copied: %s"):format(part.name,
        why or unlike[number]), "mode")
    end
  end
  if not why then
    local track, refusal = copy_pictures(parts, reference, unlike, options)
    if track then
      said.tell()
      job:note(next(unlike) and "all other video copied" or
        ("video copied: %s in all inputs"):format(reference.codec))
      return track
    elseif options.mode == "copy" then
      job:fail("invalid_option", "the videos can't be copied: " .. refusal, "mode")
    end
    why = refusal
  end
  said.tell()
  local codec = options.video_codec or encoding.video_codec(format)
  local picture = join.picture(reference, options, codec)
  job:note(("all video encoded to %s, %dx%d, %.4g frames a second: %s"):format(codec,
    picture.width, picture.height, picture.fps, why))
  local video = options.transition and transition.pictures(parts, picture, options)
    or all_pictures(parts, picture)
  return encode(video, reference, codec, options, picture.fps)
end

-- ---- sound ----

-- Why a part's track of sound can't be copied.
local function unlike_sound(part, track, reference)
  local stream = part.audios[track]
  return not stream and "there is none"
    or join.unlike(stream, reference)
    or stream.codec == "flac" and "flac counts its frames"
    or not join.fills(part, track) and "its length is not its file's"
end

local function join_sound(job, parts, track, name, format)
  local options = job.options
  local reference = first_with(parts, function(part) return part.audios[track] end)
  local fits, reason = av.can_copy(reference, format)
  local why = (options.mode == "encode" and "as asked")
    or (options.transition and "for the transitions")
    or not fits and reason or nil
  local said, segments = collect.notes(job), {}
  for number, part in ipairs(parts) do
    local own = unlike_sound(part, track, reference)
    if not part.audios[track] then
      said.add("silence for " .. name, own, part)
    end
    if options.mode == "copy" and (why or own) then
      job:fail("invalid_option", ("the %s of '%s' can't be copied: %s"):format(name, part.name,
        why or own), "mode")
    end
    why = why or own and ("%s in %s"):format(own, part.name) or nil
    segments[number] = not why and { part.audios[track]:copy(), duration = part.length }
  end
  if not why then
    local copied, refusal = join.try(segments)
    if copied then
      job:note(("%s copied: %s in all inputs"):format(name, reference.codec))
      return copied
    elseif options.mode == "copy" then
      job:fail("invalid_option", ("the %s can't be copied: %s"):format(name, refusal), "mode")
    end
    why = refusal
  end
  said.tell()
  job:note(("%s encoded to %s: %s"):format(name, sound.codec(format, reference), why))
  local stream
  if options.transition then
    stream = transition.sound(parts, track, reference, options)
  else
    for number, part in ipairs(parts) do
      local own = part.audios[track]
      segments[number] = { own and join.sound(own, reference)
        or join.silence(part.length, reference), duration = part.length }
    end
    stream = av.sequence(segments)
  end
  return sound.encode(stream, reference, format)
end

-- ---- all else ----

local function tell_what_is_left(job, parts, sounds)
  local said = collect.notes(job)
  for _, part in ipairs(parts) do
    local source = part.source
    local left = -(source.video and 1 or 0) - math.min(#part.audios, sounds) - #source.subtitles
    for _, stream in ipairs(source.streams) do
      left = left + (tracks.is_chapter_track(source, stream) and 0 or 1)
    end
    if left > 0 then
      said.add(("%d more track%s not kept"):format(left, left > 1 and "s" or ""),
        "one video and the first input's number of sounds are joined", part)
    end
  end
  said.tell()
end

-- A chapter for each input, called like it.
local function chapters(parts, overlap)
  local list, time = {}, 0
  for number, part in ipairs(parts) do
    local stop = time + part.length - (number < #parts and overlap or 0)
    list[number] = { start = time, stop = stop, title = part.name:gsub("%.%w+$", "") }
    time = stop
  end
  return list
end

return {
  summary = "Put files end to end",
  inputs = { min = 2, max = 100 },
  options = encoding.options {
    { "mode", type = "enum", values = { "auto", "copy", "encode" }, default = "auto",
      help = "auto copies what matches and encodes the rest" },
    { "width", type = "integer", min = 16, max = 16384, unit = "pixels",
      help = "else the first input's" },
    { "height", type = "integer", min = 16, max = 16384, unit = "pixels",
      help = "else the first input's" },
    { "fps", type = "number", min = 1, max = 120, help = "else the first input's" },
    { "fit", type = "enum", values = { "pad", "crop", "stretch" }, default = "pad",
      help = "what becomes of pictures of another shape" },
    { "transition", type = "enum", values = transition.names,
      help = "how one input goes over into the next" },
    { "transition_duration", type = "time", min = 0.04, max = 30,
      help = "of each transition; 1 second if nothing is said" },
    { "format", type = "enum",
      values = { "mp4", "mov", "m4v", "mkv", "webm", "mpegts", "mp3", "m4a", "wav", "flac", "ogg",
        "opus" },
      help = "container of the result; else the first input's own kind" },
  },
  examples = {
    {},
    { mode = "encode", width = 320, height = 180, fit = "crop", encoder_preset = "ultrafast" },
    { transition = "fade", transition_duration = 0.5, encoder_preset = "ultrafast" },
  },

  check = function(options)
    if options.transition and options.mode == "copy" then
      return "a transition can't be copied", "transition"
    elseif options.transition_duration and not options.transition then
      return "transition_duration goes with transition", "transition_duration"
    end
    local codec = options.video_codec or encoding.video_codec(options.format)
    return encoding.check_crf(codec, options.crf), "crf"
  end,

  run = function(job)
    local options, parts = job.options, {}
    for number, source in ipairs(job.inputs) do
      parts[number] = join.part(source, number)
      if not source.video and not source.audio then
        job:fail("no_such_stream", ("'%s' has neither video nor audio"):format(parts[number].name))
      end
    end
    if options.transition then
      transition.check(job, parts)
    end
    local reference = first_with(parts, function(part) return part.video end)
    local sounding = first_with(parts, function(part) return part.audios[1] end)
    local format = choose_format(parts, options, reference, sounding)
    if reference and av.formats[format].video == "" then
      job:note(("video not kept: %s holds none"):format(format))
      reference = nil
    end
    local sounds = #parts[1].audios > 0 and #parts[1].audios or sounding and 1 or 0

    local room = av.formats[format].room.audio
    if sounds > room then
      job:note(("%s holds %d track%s of sound"):format(format, room, room == 1 and "" or "s"))
      sounds = room
    end

    local output = { format = format }
    if reference then
      table.insert(output, join_pictures(job, parts, reference, format))
    end
    for track = 1, sounds do
      table.insert(output, join_sound(job, parts, track,
        sounds > 1 and "audio " .. track or "audio", format))
    end
    for track = 1, captions.count(job, parts, format) do
      table.insert(output, captions.join(job, parts, track, format))
    end
    tell_what_is_left(job, parts, sounds)
    output.chapters = chapters(parts, options.transition and transition.seconds(options) or 0)
    job:output(output)
  end,
}
