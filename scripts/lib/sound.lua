-- Encoding sound that filters have changed.

local encoding = require "lib.encoding"

local sound = {}

local lossless_encoders = { flac = true, alac = true }

-- The codec for changed sound in a container: its own where it is lossless and fits, else the
-- container's usual one; "" if the container holds no sound.
function sound.codec(format, stream)
  local own = stream.codec or ""
  local kept = lossless_encoders[own] or own:sub(1, 4) == "pcm_"
  if kept and av.holds(format, own) then
    return own
  end
  return av.formats[format].audio
end

-- The container for sound alone: the input's own kind, or m4a where that holds no sound that can
-- be encoded.
function sound.format(source, wanted)
  local own = wanted or source.family
  return av.formats[own].audio == "" and "m4a" or own
end

-- Encodes what became of an input's stream, in near-original quality.
function sound.encode(changed, stream, format)
  local codec = sound.codec(format, stream)
  local wanted = encoding.bitrate("low", codec, stream)
  if wanted and stream.bit_rate then
    wanted = math.max(wanted, math.min(math.tointeger(stream.bit_rate), 2 * wanted))
  end
  return encoding.audio(changed, {
    codec = codec, bitrate = wanted, channels = stream.channels,
  })
end

return sound
