-- Sizes that are kept: a file that comes out just below the size that was asked for.
--
-- A bitrate is worked out from the size and the duration; what the encoders then make tells better
-- than any estimate, so a file outside of 90 to 100 % of its target is made anew at a better rate.

local encoding = require "lib.encoding"

local target = {}

local least_share = 0.9 -- of the target that a result has to fill
local first_aim, later_aim = 0.965, 0.955
local most_tries = 9
local least_rate, most_rate = 2000, 400000000 -- bits a second of one track

-- Bytes that containers add: once, and to each packet.
local overhead = {
  mpegts = { file = 2000, packet = 120 },
  mkv = { file = 1500, packet = 10 }, webm = { file = 1500, packet = 10 },
}
local usual_overhead = { file = 2000, packet = 14 }

-- Sound gets this part of all bits, but per channel and second no less and no more than these.
local audio_share = 0.12
local least_audio, most_audio = 16000, 64000
local least_sound, most_sound = 8000, 256000 -- where there is nothing else

local function sound_channels(stream, format)
  return encoding.channels(av.formats[format].audio, stream.channels)
end

-- The most bits a second that a track of sound gets beside pictures.
function target.sound_beside(budget, stream, format)
  return budget.audio * sound_channels(stream, format)
end

-- The codec of such a track: Vorbis can't do with little.
function target.sound_codec(format)
  return format == "ogg" and "opus" or av.formats[format].audio
end

-- The rate of a track in a file that holds nothing but sound: what encoders can do of so much.
function target.sound_alone(stream, format, rate)
  local channels = sound_channels(stream, format)
  return math.floor(math.min(math.max(rate, least_sound * channels), most_sound * channels))
end

-- What a file of the size has room for: `rate`, the bits a second of all videos (or of all sound
-- where there is nothing else), `audio`, those of each channel of sound beside pictures unless a
-- bitrate of each track is given, and `fixed`, the bytes that the rate doesn't change.
function target.budget(source, format, size, audio_bitrate)
  local seconds = math.max(source:length() or 0, 0.04)
  local extra = overhead[format] or usual_overhead
  local fixed, channels, packets = extra.file, 0, 0
  for _, stream in ipairs(source.audios) do
    channels = channels + sound_channels(stream, format)
    packets = packets + 47 * seconds
  end
  for _, stream in ipairs(source.videos) do
    packets = packets + (stream.frame_rate or 25) * seconds
  end
  fixed = fixed + packets * extra.packet
  local bits = size * first_aim * 8 / seconds
  local each = math.floor(bits * audio_share / math.max(channels, 1))
  each = math.min(math.max(each, least_audio), most_audio)
  local budget = { audio = each }
  for _, stream in ipairs(source.video and source.audios or {}) do
    local wanted = audio_bitrate or target.sound_beside(budget, stream, format)
    fixed = fixed + math.min(wanted, audio_bitrate or stream.bit_rate or wanted) * seconds / 8
  end
  budget.rate, budget.fixed = bits - fixed * 8 / seconds, fixed
  return budget
end

-- The part of all videos' bits that is one stream's.
function target.share(source, stream)
  local function weight(video)
    return (video.width or 16) * (video.height or 16) * (video.frame_rate or 25)
  end
  local all = 0
  for _, video in ipairs(source.videos) do
    all = all + weight(video)
  end
  return weight(stream) / all
end

-- The rate that should come nearest after what was made so far. `under` and `over` are the nearest
-- results (rate and size) on either side of the target, or nil; `last` is the last but one.
local function better_rate(size, budget, under, over, last)
  local aim = size * later_aim
  if under and over then
    local part = (aim - under.size) / (over.size - under.size)
    part = math.min(math.max(part, 0.1), 0.9)
    return under.rate + (over.rate - under.rate) * part
  end
  local made = under or over
  if made.rate == 0 then
    return math.max(budget.rate, least_rate)
  end
  local factor = (aim - budget.fixed) / math.max(made.size - budget.fixed, 1)
  local slope = last and (made.size - last.size) / (made.rate - last.rate) or 0
  if slope > 0 and last.rate > 0 then
    factor = 1 + (aim - made.size) / slope / made.rate
  end
  if over then
    return math.max(made.rate * math.min(math.max(factor, 0.25), 0.95), least_rate)
  end
  return made.rate * math.min(math.max(factor, 1.05), 4)
end

-- True if more bits have made nothing better.
local function is_saturated(before, made)
  if not before or before.rate == 0 then
    return false
  end
  local more = made.rate / before.rate - 1
  return more > 0.04 and made.size / before.size - 1 < more * 0.1
end

-- Declares an output of at most `size` bytes. `make(rate)` returns the table of one at so many bits
-- a second, or the smallest that can be made where it gets nothing.
function target.output(job, size, budget, make)
  local under, over, latest, attempt

  local function refuse(made)
    local smallest = math.ceil(made.size * 1.02 / 1000) * 1000
    job:fail("invalid_option", ("the smallest file that can be made has about %d bytes, so a "
      .. "target of %d can't be met"):format(smallest, size), "target_size")
  end

  -- What is to be made after a result that doesn't fit; nil if it is to be kept.
  local function next_attempt(made, tries)
    local before, last, again = under, latest, "made anew"
    latest = made
    if made.size > size then
      if made.smallest then
        refuse(made)
      end
      over = made
    else
      under = made
      if not over and is_saturated(before, made) then
        job:note(("%d bytes are all that the encoder's best quality needs"):format(made.size))
        return nil
      elseif tries >= most_tries then
        job:note(("%d bytes are the nearest that was found"):format(made.size))
        return nil
      end
    end
    local rate = better_rate(size, budget, under, over, last)
    if tries >= most_tries then
      rate, again = under.rate, "made as before"
    elseif not under and (tries >= most_tries - 2 or over.rate <= least_rate) then
      rate, again = 0, "made as small as can be"
    end
    job:note(("%d bytes are too %s: %s%s"):format(made.size, made.size > size and "many" or "few",
      again, rate > 0 and (" at %d kb/s"):format(rate // 1000) or ""))
    return attempt(rate, tries + 1)
  end

  function attempt(rate, tries)
    local smallest = rate < least_rate
    rate = smallest and 0 or math.floor(math.min(rate, most_rate))
    local output = make(not smallest and rate or nil)
    output.not_larger_than = size
    output.not_smaller_than = math.ceil(size * least_share)
    output.otherwise = function(bytes)
      return next_attempt({ rate = rate, size = bytes, smallest = smallest }, tries)
    end
    return output
  end

  job:output(attempt(budget.rate, 1))
end

return target
