-- Loudness by EBU R128: measured, then changed by plain gain, which keeps the dynamics.

local loudness = {}

-- Below this the measure says nothing: its absolute gate (ITU-R BS.1770-4).
local silence = -70

-- Codecs that aren't lossless add a little to peaks; so much less than the limit is aimed at.
local lossy_margin = 0.5
local near_enough = 0.4 -- LU

local function factor(decibel)
  return 10 ^ (decibel / 20)
end

-- Integrated loudness in LUFS and true peak in dB. The sound is held a moment longer, so that its
-- last tenth of a second is heard as well.
function loudness.measure(audio)
  local found = av.measure(audio:apad { pad_dur = 0.1 }:ebur128 { metadata = 1, peak = "true" })
  local told = found.ebur128
  if told then
    return told.integrated, told.true_peak
  end
end

-- The peak of quiet sound is told with too few digits: it is measured again, louder.
local function exact_peak(audio, peak)
  if peak > -26 then
    return peak
  end
  local gain = -6 - math.max(peak, -80)
  local _, louder = loudness.measure(audio:volume { volume = factor(gain), precision = "double" })
  return louder - gain
end

-- A limiter looks at samples, a true peak lies between them: so it works at four times the rate.
local function limited(audio, gain, ceiling, rate)
  return audio:volume { volume = factor(gain), precision = "double" }
    :aresample(4 * rate)
    :alimiter { limit = factor(ceiling), level = false, attack = 5, release = 50, latency = true }
    :aresample(rate)
end

-- The limiter takes away loudness, which more gain in front of it brings back.
local function limit(audio, gain, wanted, ceiling, rate)
  local changed, reached
  for _ = 1, 4 do
    changed = limited(audio, gain, ceiling, rate)
    local peak
    reached, peak = loudness.measure(changed)
    local over = peak - wanted.ceiling
    if math.abs(wanted.target - reached) < near_enough / 2 and over <= 0 then
      break
    end
    local short = wanted.target - reached
    gain = gain + short * (short > 1 and 1.5 or 1)
    ceiling = ceiling - math.max(over, 0)
  end
  return changed, reached
end

-- Brings sound to a loudness. `wanted`: target in LUFS, true_peak in dBTP, limit, lossless (what
-- it will be encoded to), rate. Returns the sound (as it was, if nothing is to be done) and what
-- there is to say.
function loudness.normalize(audio, wanted)
  local measured, peak = loudness.measure(audio)
  if not measured or measured <= silence then
    return audio, "silence, left alone"
  end
  local ceiling = wanted.true_peak - (wanted.lossless and 0.05 or lossy_margin)
  local gain = wanted.target - measured
  peak = exact_peak(audio, peak)
  local most = ceiling - peak
  local from = ("from %.1f LUFS, peak %.1f dBTP"):format(measured, peak)
  if gain > most + near_enough and wanted.limit then
    local aim = { target = wanted.target, ceiling = ceiling + 0.1 }
    local changed, reached = limit(audio, gain, aim, ceiling, wanted.rate)
    return changed, ("%s brought to %.1f LUFS by a limiter"):format(from, reached)
  elseif gain > most + near_enough then
    local text = "%s: %+.1f dB, stopped by the true peak limit of %g dBTP at %.1f LUFS"
    return audio:volume(factor(most)),
      text:format(from, most, wanted.true_peak, measured + most)
  end
  gain = math.min(gain, most)
  return audio:volume(factor(gain)), ("%s: %+.1f dB to %.1f LUFS"):format(from, gain,
    measured + gain)
end

return loudness
