"""Whether sound and picture are in step: clips with a flash and a beep, found again by decoding."""

import array
import math

import facts

H264_AAC = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")


def flash(path, size, rate, sound_rate, seconds, codecs=H264_AAC):
    """A clip that begins with a flash and a beep of a tenth of a second."""
    sound = f"aevalsrc='if(lt(t,0.1),0.8*sin(2*PI*1000*t),0)':s={sound_rate}:d={seconds}"
    facts.ffmpeg("-f", "lavfi", "-i", f"color=black:s={size}:r={rate}:d={seconds}", "-f", "lavfi",
                 "-i", sound, "-vf", "drawbox=color=white:t=fill:enable='lt(t,0.1)'", *codecs, path)
    return path


def flashes(path):
    """When a picture turns white."""
    times = facts.decoded_times(path, "v:0")
    grey = facts.ffmpeg("-i", path, "-vf", "scale=1:1,format=gray", "-fps_mode", "passthrough",
                        "-f", "rawvideo", "-")
    return [time for time, now, before in zip(times, grey, b"\0" + grey) if now > 60 >= before]


def beeps(path):
    """When it gets loud after silence, by counting samples."""
    rate, found, quiet = 8000, [], math.inf
    data = array.array("h", facts.samples(path, "a:0", "s16le", "-ac", "1", "-ar", str(rate)))
    for number, sample in enumerate(data):
        if abs(sample) > 6000:
            if quiet > 0.2 * rate:
                found.append(number / rate)
            quiet = 0
        else:
            quiet += 1
    return found
