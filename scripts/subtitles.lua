local effects = require "lib.effects"
local encoding = require "lib.encoding"
local tracks = require "lib.tracks"

local codecs = { srt = "subrip", ass = "ass", vtt = "webvtt" }
local forms = { ass = "ass", ssa = "ass", webvtt = "vtt" }

-- Languages have codes of two and of three letters, some of them two of the latter.
local languages = {
  ar = "ara", bg = "bul", cs = "ces", cze = "ces", da = "dan", de = "deu", ger = "deu", el = "ell",
  gre = "ell", en = "eng", es = "spa", et = "est", fa = "fas", per = "fas", fi = "fin", fr = "fra",
  fre = "fra", he = "heb", hi = "hin", hr = "hrv", hu = "hun", id = "ind", it = "ita", ja = "jpn",
  ko = "kor", lt = "lit", lv = "lav", ms = "msa", may = "msa", nl = "nld", dut = "nld", no = "nor",
  pl = "pol", pt = "por", ro = "ron", rum = "ron", ru = "rus", sk = "slk", slo = "slk", sl = "slv",
  sr = "srp", sv = "swe", th = "tha", tr = "tur", uk = "ukr", vi = "vie", zh = "zho", chi = "zho",
}

-- The code that every container knows.
local function three_letters(language)
  local code = language and language:lower():match("^%a+")
  if code and code ~= "und" then
    return languages[code] or code
  end
end

local function list_languages(streams)
  local names = {}
  for _, stream in ipairs(streams) do
    table.insert(names, stream.language and stream.language ~= "" and stream.language or "und")
  end
  return table.concat(names, ", ")
end

-- The track by its number or its language; the usual one where neither is asked for. Of several in
-- a language the first that is not forced.
local function choose(job, source, number, language)
  local list = source.subtitles
  if #list == 0 then
    job:fail("no_such_stream", "the file has no subtitles")
  elseif number then
    if not list[number] then
      job:fail("no_such_stream", ("there is no subtitle track %d: the file has %d")
        :format(number, #list), "track")
    end
    return list[number]
  elseif not language or #list == 1 and not three_letters(list[1].language) then
    return source.subtitle or list[1]
  end
  local forced
  for _, stream in ipairs(list) do
    if three_letters(stream.language) == three_letters(language) then
      if not stream.forced then
        return stream
      end
      forced = forced or stream
    end
  end
  if not forced then
    job:fail("no_such_stream", ("there are no subtitles in %s: the file has %s")
      :format(language, list_languages(list)), "language")
  end
  return forced
end

-- What makes sense with one action only.
local only = {
  title = "embed", default = "embed", forced = "embed", style = "burn", video_codec = "burn",
  crf = "burn", encoder_preset = "burn",
}

local actions = {}

function actions.extract(job)
  local source, options = job.inputs[1], job.options
  local stream = choose(job, source, options.track, options.language)
  local name = tracks.name(source, stream)
  if not tracks.is_text(stream) then
    job:fail("no_such_stream", ("%s is made of pictures (%s), not of text: it can be burned, but "
      .. "not written as text"):format(name, stream.codec), "track")
  end
  local format = options.format or forms[stream.codec] or "srt"
  local fits = av.can_copy(stream, format)
  if fits then
    job:note(("%s copied as %s"):format(name, format))
  else
    job:note(("%s rewritten: %s as %s"):format(name, stream.codec, format))
  end
  job:output {
    format = format,
    fits and stream:copy() or stream:encode { codec = codecs[format] },
  }
end

-- The container keeps its kind where that holds subtitles; Matroska holds everything.
local function container(job, source)
  local family = source.family
  if av.formats[family].subtitle ~= "" then
    return family
  end
  job:note(("the result is mkv: %s holds no subtitles of text"):format(family))
  return "mkv"
end

-- What the options say of the track.
local function settings(options, language)
  return {
    language = language, title = options.title, default = options.default, forced = options.forced,
  }
end

-- The subtitles as a track of the container, copied where it holds them as they are.
local function put(job, stream, name, format, options, language)
  local track = settings(options, language)
  local wanted = options.format and codecs[options.format]
  local copied = av.can_copy(stream, format)
  if copied and (not wanted or av.can_copy(stream, options.format)) then
    job:note(("%s copied: %s fits %s"):format(name, stream.codec, format))
    return stream:copy(track)
  elseif not tracks.is_text(stream) then
    job:fail("invalid_option", ("%s is made of pictures (%s), which %s can't hold: burn it instead")
      :format(name, stream.codec, format), "action")
  elseif wanted and not av.holds(format, wanted) then
    job:fail("invalid_option", ("%s does not hold %s subtitles"):format(format, options.format),
      "format")
  end
  track.codec = wanted or av.formats[format].subtitle
  job:note(("%s rewritten: %s as %s"):format(name, stream.codec, track.codec))
  return stream:encode(track)
end

function actions.embed(job)
  local source, options = job.inputs[1], job.options
  if not source.video and not source.audio then
    job:fail("no_such_stream", "the first file has neither video nor audio")
  end
  local format = container(job, source)
  local second = job.inputs[2]
  local chosen, language
  if second then
    -- Nothing is shown after the end of the film.
    second = source.duration and second:to(source.duration) or second
    chosen = choose(job, second, options.track)
    language = three_letters(options.language) or chosen.language
  else
    chosen = choose(job, source, options.track, options.language)
  end
  local output = tracks.all(job, source, format, {
    subtitle = function(stream, name)
      if not second and stream.index == chosen.index then
        return put(job, stream, name, format, options)
      end
      -- Only one track is the one that players show by themselves.
      local kept, reason = tracks.keep(job, source, stream, format, false,
        options.default and { default = false })
      if not kept then
        job:note(("%s not kept: %s"):format(name, reason))
      end
      return kept
    end,
  })
  if second then
    table.insert(output, put(job, chosen, "subtitles", format, options, language))
  end
  job:note("everything else copied")
  output.format = format
  job:output(output)
end

-- The container of the result, which holds the codec of its picture.
local function burned_format(job, source, options)
  local codec = options.video_codec or encoding.video_codec(source.family)
  local format = encoding.format(source, nil, codec)
  if not av.holds(format, codec) then
    job:fail("invalid_option", ("%s does not hold %s"):format(format, codec), "video_codec")
  end
  return format, codec
end

function actions.burn(job)
  local source, second, options = job.inputs[1], job.inputs[2], job.options
  local video = source.video
  if not video then
    job:fail("no_such_stream", "the file has no video to burn subtitles into")
  end
  local chosen = choose(job, second or source, options.track, options.language)
  if options.style and not tracks.is_text(chosen) then
    job:fail("invalid_option", ("these subtitles are pictures (%s), whose look can't be chosen")
      :format(chosen.codec), "style")
  end
  local format, codec = burned_format(job, source, options)
  local output = tracks.all(job, source, format, {
    video = function(stream, name)
      if stream.index ~= video.index then
        return tracks.keep(job, source, stream, format)
      end
      local picture = stream:burn(chosen, options.style)
      if codec == "h264" or codec == "hevc" then
        picture = effects.even(picture, effects.shape(stream, effects.first_time(source)))
      end
      job:note(("%s encoded to %s: %s burned in"):format(name, codec,
        second and "subtitles" or tracks.name(source, chosen)))
      return encoding.video(picture, stream, {
        codec = codec, crf = options.crf or encoding.levels.low[codec],
        speed = options.encoder_preset,
      })
    end,

    subtitle = function(stream, name)
      if not second and stream.index == chosen.index then
        job:note(("%s not kept: it is in the picture now"):format(name))
        return false
      end
      local kept, reason = tracks.keep(job, source, stream, format)
      job:note(("%s %s"):format(name, kept and "kept" or "not kept: " .. reason))
      return kept
    end,
  })
  output.format = format
  job:output(output)
end

return {
  summary = "Extract, burn or embed subtitles",
  inputs = { min = 1, max = 2, roles = { "media", "subtitles" } },
  options = encoding.options {
    { "action", type = "enum", values = { "extract", "burn", "embed" }, required = true,
      help = "extract writes a file of text, burn draws into the picture, embed adds a track" },
    { "track", type = "integer", min = 1, max = 32,
      help = "which of the subtitle tracks, from 1; else the usual one" },
    { "language", type = "string", pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$",
      help = "take the track in this language, like eng; with a second file, embed it as that" },
    { "format", type = "enum", values = { "srt", "ass", "vtt" },
      help = "how the text is written; else as it is, where that fits" },
    { "title", type = "string", help = "title of the embedded track" },
    { "default", type = "boolean", help = "players show the embedded track without being asked" },
    { "forced", type = "boolean", help = "the embedded track translates only what is foreign" },
    { "style", type = "object", help = "the look of text that is burned; else its own", fields = {
      { "font", type = "string", pattern = "^[^,]{1,100}$", help = "name of a family" },
      { "size", type = "number", min = 1, max = 50, help = "of a line, in % of the height" },
      { "color", type = "color" },
      { "outline", type = "number", min = 0, max = 5, help = "its thickness, in % of the height" },
      { "outline_color", type = "color" },
      { "position", type = "enum", values = { "bottom", "middle", "top" } },
    } },
  },
  examples = {
    { action = "extract", format = "vtt" },
    { action = "embed", language = "eng", default = true },
    { action = "burn", style = { size = 8, color = "yellow" }, encoder_preset = "ultrafast" },
  },

  check = function(options, inputs)
    if options.action == "extract" and inputs[2] then
      return "extract takes one file", "action"
    elseif options.track and options.language and not (options.action == "embed" and inputs[2]) then
      return "track and language exclude each other", "language"
    end
    for name, action in pairs(only) do
      if options.action ~= action and options[name] ~= nil then
        return ("%s goes with %s"):format(name, action), name
      end
    end
    if options.action == "burn" and options.format then
      return "format goes with extract and embed", "format"
    end
    return encoding.check_crf(options.video_codec or encoding.video_codec(inputs[1].family),
      options.crf), "crf"
  end,

  run = function(job)
    actions[job.options.action](job)
  end,
}
