-- Colours for screens and files that know only the usual ones.

local color = {}

-- HDR (PQ or HLG) brought into BT.709: to linear light, tone-mapped, and back.
function color.tone_map(video, stream)
  local own = stream.color
  return video
    :zscale { transferin = own.transfer, primariesin = own.primaries or "bt2020",
      matrixin = own.matrix or "bt2020nc", transfer = "linear", npl = 100 }
    :format("gbrpf32le")
    :zscale { primaries = "bt709" }
    :tonemap { tonemap = "hable", desat = 0 }
    :zscale { transfer = "bt709", matrix = "bt709", range = "limited" }
    :format("yuv420p")
end

-- How bright white is where HDR tells it in absolute light: ITU-R BT.2408.
local reference_white = 203

-- Into the light of an HDR stream, from another kind of HDR or from the usual.
local function to_hdr(video, own, wanted)
  return video
    :zscale { transferin = own.transfer or "bt709", primariesin = own.primaries or "bt709",
      matrixin = own.matrix or "bt709", transfer = "linear", npl = reference_white }
    :format("gbrpf32le")
    :zscale { primaries = wanted.primaries or "bt2020" }
    :zscale { transfer = wanted.transfer, matrix = wanted.matrix or "bt2020nc",
      range = "limited", npl = reference_white }
    :format("yuv420p10le")
end

-- The names of two matrices that are one.
local same_matrix = { smpte170m = "bt470bg" }

-- A stream's pictures in the colours of another, as far as both tell theirs.
function color.convert(video, stream, wanted)
  local own = stream.color or {}
  if own.hdr and not wanted.hdr then
    return color.tone_map(video, stream)
  elseif wanted.hdr and own.transfer ~= wanted.transfer then
    return to_hdr(video, own, wanted)
  end
  local from = same_matrix[own.matrix] or own.matrix
  local to = same_matrix[wanted.matrix] or wanted.matrix
  if from and to and from ~= to and from ~= "gbr" and to ~= "gbr" then
    return video:zscale { matrixin = from, matrix = to }
  end
  return video
end

return color
