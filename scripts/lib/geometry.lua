-- Sizes of pictures, as they are shown.

local geometry = {}

-- Width and height of the upright frames that filters see; pixels may not be square yet.
function geometry.upright(stream)
  if stream.rotation == 90 or stream.rotation == 270 then
    return stream.height, stream.width
  end
  return stream.width, stream.height
end

function geometry.has_square_pixels(stream)
  local width, height = geometry.upright(stream)
  return stream.display_width == width and stream.display_height == height
end

local function rounded(value, step)
  return math.max(step, math.floor(value / step + 0.5) * step)
end

-- How much a picture shrinks to fit a box; 1 if it fits as it is. Either side may be nil.
function geometry.shrink(width, height, most_width, most_height)
  local across = most_width and most_width / width or 1
  local down = most_height and most_height / height or 1
  return math.min(1, across, down)
end

-- The frame size for a picture that is to fit a box as shown, in steps of 1 or 2 pixels; never
-- larger than it is, and never outside the box.
function geometry.fit(stream, most_width, most_height, step)
  local width, height = geometry.upright(stream)
  local factor = geometry.shrink(stream.display_width, stream.display_height, most_width,
    most_height)
  local new_width, new_height = rounded(width * factor, step), rounded(height * factor, step)
  if new_width > width then
    new_width = new_width - step
  end
  if new_height > height then
    new_height = new_height - step
  end
  return math.max(step, new_width), math.max(step, new_height)
end

return geometry
