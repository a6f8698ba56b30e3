-- What becomes of each stream of an input: nothing is lost without a word in the notes.

local tracks = {}

-- Subtitles that are text can be rewritten for another container; the others are pictures.
local text_codecs = {
  subrip = true, srt = true, ass = true, ssa = true, mov_text = true, webvtt = true, text = true,
  microdvd = true, sami = true, subviewer = true, subviewer1 = true, mpl2 = true, jacosub = true,
  realtext = true, stl = true, pjs = true, vplayer = true,
}

function tracks.is_text(stream)
  return text_codecs[stream.codec] or false
end

local function of_kind(source, stream)
  local lists = { video = source.videos, audio = source.audios, subtitle = source.subtitles }
  return lists[stream.kind] or {}
end

-- "video", or "audio 2" where there are several.
function tracks.name(source, stream)
  if stream.attached_picture then
    return "cover picture"
  end
  local list = of_kind(source, stream)
  if #list > 1 then
    for number, other in ipairs(list) do
      if other.index == stream.index then
        return stream.kind .. " " .. number
      end
    end
  end
  if list[1] then
    return stream.kind
  end
  return ("%s track %d"):format(stream.kind or "data", stream.index)
end

-- The stream copied, or (unless only a copy will do) rewritten as text that the container holds;
-- else nil and the reason. `settings` may say more of the track: language, title, default, forced.
function tracks.keep(job, source, stream, format, copy_only, settings)
  local name = tracks.name(source, stream)
  local fits, reason = av.can_copy(stream, format)
  if fits then
    return stream:copy(settings or nil)
  end
  local codec = av.formats[format].subtitle
  local rewritable = stream.kind == "subtitle" and tracks.is_text(stream) and codec ~= ""
  if rewritable and not copy_only then
    job:note(("%s rewritten as %s: %s does not fit %s"):format(name, codec, stream.codec, format))
    local track = { codec = codec }
    for option, value in pairs(settings or {}) do
      track[option] = value
    end
    return stream:encode(track)
  end
  return nil, reason
end

local function keep_or_tell(job, source, stream, format)
  local track, reason = tracks.keep(job, source, stream, format)
  if not track then
    job:note(("%s not kept: %s"):format(tracks.name(source, stream), reason))
  end
  return track
end

-- MP4 keeps the titles of chapters in a track of its own, which is written anew with them.
function tracks.is_chapter_track(source, stream)
  return stream.codec == "bin_data" and #source.chapters > 0
end

-- Picks the streams that a container has room for; the others are named in the notes.
local function with_room(job, source, format)
  local holds, used, list = av.formats[format], {}, {}
  for _, stream in ipairs(source.streams) do
    local kind = stream.kind
    local room = not stream.attached_picture and holds.room[kind]
    if not tracks.is_chapter_track(source, stream) then
      used[kind] = (used[kind] or 0) + (room and 1 or 0)
      if room and room > 0 and used[kind] > room then
        job:note(("%s not kept: %s holds %d %s track%s"):format(tracks.name(source, stream),
          format, room, kind, room > 1 and "s" or ""))
      else
        table.insert(list, stream)
      end
    end
  end
  return list
end

-- True if the container takes every stream as it is.
function tracks.can_copy_all(source, format)
  for _, stream in ipairs(source.streams) do
    if not tracks.is_chapter_track(source, stream) and not av.can_copy(stream, format) then
      return false
    end
  end
  return true
end

-- All streams of the source, in their order, as tracks for an output of the format. `make` has a
-- function for each kind that needs more than keeping: video, audio, subtitle, picture, data. It
-- gets the stream and its name; false leaves the stream out.
function tracks.all(job, source, format, make)
  local list = {}
  for _, stream in ipairs(with_room(job, source, format)) do
    local kind = stream.attached_picture and "picture" or stream.kind
    local maker = make[kind] or function()
      return keep_or_tell(job, source, stream, format)
    end
    local track = maker(stream, tracks.name(source, stream))
    if track then
      table.insert(list, track)
    end
  end
  return list
end

return tracks
