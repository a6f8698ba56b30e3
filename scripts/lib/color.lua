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

return color
