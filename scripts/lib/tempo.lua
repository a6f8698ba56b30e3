-- Sound at another speed.

local tempo = {}

-- The filter's own range for one step, without skipping samples.
local most = 2

-- As on a tape: the pitch goes with the speed, and every sample has its place.
local function as_on_tape(audio, factor, rate)
  return audio:asetrate(math.floor(rate * factor + 0.5)):aresample(rate)
end

-- Plays sound `factor` times as fast, straight from an input. With keep_pitch voices keep theirs.
function tempo.change(audio, factor, keep_pitch)
  local rate = audio.sample_rate or 48000
  local whole = audio:aresample { async = 1 } -- gaps become silence
  if not keep_pitch then
    return as_on_tape(whole, factor, rate)
  end
  local steps = math.max(1, math.ceil(math.abs(math.log(factor, most)) - 1e-9))
  local changed = whole
  for _ = 1, steps do
    changed = changed:atempo(factor ^ (1 / steps))
  end
  -- A sound that begins late begins earlier by the same factor.
  changed = changed:asetpts(("PTS-STARTPTS+STARTPTS/%.12g"):format(factor))
  -- The filter ends some hundredths of a second early; the tape, unheard, knows the right length.
  return as_on_tape(whole, factor, rate)
    :amix(changed, { duration = "first", weights = "0 1", normalize = false })
end

return tempo
