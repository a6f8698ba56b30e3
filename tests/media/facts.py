"""What a media file is, as ffprobe and ffmpeg see it: the judges of these tests.

Nothing here uses luma. Times are seconds, sizes pixels. Answers about a file are kept, since no
file that the tests look at changes afterwards.
"""

import functools
import json
import math
import re
import subprocess
from fractions import Fraction


def run(*command, check=True):
    """Runs a program and returns its stdout as bytes."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def ffmpeg(*arguments, check=True):
    """Runs ffmpeg, quietly, never asking."""
    return run("ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, check=check)


class Stream:
    """One stream of a probed file."""

    def __init__(self, raw):
        self.raw = raw
        self.index = raw["index"]
        self.kind = raw.get("codec_type", "data")
        self.codec = raw.get("codec_name", "")
        self.tags = raw.get("tags", {})
        self.language = self.tags.get("language", "und")
        self.cover = bool(raw.get("disposition", {}).get("attached_pic"))
        self.width, self.height = raw.get("width", 0), raw.get("height", 0)
        self.rotation = 0
        for side in raw.get("side_data_list", []):
            if "rotation" in side:
                self.rotation = round(-side["rotation"]) % 360
        ratio = raw.get("sample_aspect_ratio", "1:1").replace(":", "/")
        self.aspect = Fraction(ratio) if not ratio.startswith("0/") else Fraction(1)

    @property
    def upright(self):
        """Size of the decoded frames after rotation."""
        if self.rotation in (90, 270):
            return self.height, self.width
        return self.width, self.height

    @property
    def shown(self):
        """Size on a screen with square pixels."""
        width, height = float(self.width), float(self.height)
        if self.aspect > 1:
            width *= self.aspect
        else:
            height /= self.aspect
        shown = (round(width), round(height))
        return shown[::-1] if self.rotation in (90, 270) else shown

    @property
    def frame_rate(self):
        rate = self.raw.get("avg_frame_rate", "0/0")
        return float(Fraction(rate)) if not rate.endswith("/0") else 0.0

    @property
    def frame(self):
        """Seconds that a frame lasts; a rate above 100 is a clock's, not a camera's."""
        rate = self.frame_rate
        return 1 / rate if 0 < rate <= 100 else 1 / 25

    def color(self):
        names = ("color_primaries", "color_transfer", "color_space", "color_range")
        return {name: self.raw[name] for name in names if name in self.raw}


class Media:
    """A probed file."""

    def __init__(self, raw):
        self.raw = raw
        self.format = raw["format"]["format_name"]
        self.streams = [Stream(stream) for stream in raw["streams"]]
        self.chapters = raw.get("chapters", [])
        self.tags = {key.lower(): value for key, value in raw["format"].get("tags", {}).items()}
        self.duration = float(raw["format"].get("duration", "nan"))

    def of(self, kind):
        return [s for s in self.streams if s.kind == kind and not s.cover]

    @property
    def video(self):
        return (self.of("video") or [None])[0]

    @property
    def audio(self):
        return (self.of("audio") or [None])[0]

    @property
    def covers(self):
        return [s for s in self.streams if s.cover]


@functools.lru_cache(maxsize=None)
def probe(path):
    """A Media, or None where ffprobe can make nothing of the file."""
    asked = ["-of", "json", "-show_format", "-show_streams", "-show_chapters", path]
    raw = json.loads(run("ffprobe", "-v", "error", *asked, check=False) or b"{}")
    if not raw.get("streams") and str(path).endswith(".srt"):  # text in UTF-16, which it can't guess
        raw = json.loads(run("ffprobe", "-v", "error", "-f", "srt", *asked, check=False) or b"{}")
    return Media(raw) if raw.get("format") and raw.get("streams") else None


@functools.lru_cache(maxsize=None)
def decoded_times(path, selector):
    """The timestamps of a stream's decoded frames, in order of presentation."""
    text = run("ffprobe", "-v", "error", "-select_streams", selector, "-show_entries",
               "frame=best_effort_timestamp_time", "-of", "csv=p=0", path, check=False).decode()
    times = []
    for line in text.splitlines():
        value = line.strip().strip(",")
        if value and value != "N/A":
            times.append(float(value))
    return times


@functools.lru_cache(maxsize=None)
def packets(path, selector):
    """(pts, dts, duration, size) of a stream's packets, missing values None."""
    text = run("ffprobe", "-v", "error", "-select_streams", selector, "-show_entries",
               "packet=pts_time,dts_time,duration_time,size", "-of", "json", path,
               check=False)
    found = []
    for packet in json.loads(text or b"{}").get("packets", []):
        found.append(tuple(float(packet[key]) if packet.get(key, "N/A") != "N/A" else None
                           for key in ("pts_time", "dts_time", "duration_time", "size")))
    return found


def disorder(path, selector):
    """What is wrong with the order of a stream's packets: decoding times rise strictly, no two
    have the same time of presentation, none is shown before it is decoded. "" if nothing is."""
    seen, last = set(), -math.inf
    for number, (pts, dts, _, _) in enumerate(packets(path, selector)):
        pts = dts if pts is None else pts
        if pts in seen:
            return f"packet {number} is shown at {pts}, as another is"
        if dts is not None and dts <= last:
            return f"packet {number} is decoded at {dts}, the one before at {last}"
        if dts is not None and pts < dts:
            return f"packet {number} is decoded at {dts} and shown at {pts}"
        seen.add(pts)
        last = last if dts is None else dts
    return ""


def begin(path, selector):
    """When the first of a stream is shown, in seconds."""
    return min(pts if pts is not None else dts for pts, dts, _, _ in packets(path, selector))


def span(path, selector):
    """Seconds from a stream's first timestamp to the end of its last packet."""
    found = [(p[0] if p[0] is not None else p[1], p[2] or 0) for p in packets(path, selector)]
    found = [(start, length) for start, length in found if start is not None]
    if not found:
        return 0.0
    return max(start + length for start, length in found) - min(start for start, _ in found)


@functools.lru_cache(maxsize=None)
def packet_hash(path, selector):
    """A hash over the bytes of a stream's packets."""
    return ffmpeg("-i", path, "-map", f"0:{selector}", "-c", "copy", "-f", "streamhash",
                  "-hash", "md5", "-").decode().split("=")[-1].strip()


@functools.lru_cache(maxsize=None)
def picture_hash(path, selector="v:0", *filters):
    """A hash over the decoded pictures of a stream."""
    chain = ["-vf", ",".join(filters)] if filters else []
    return ffmpeg("-i", path, "-map", f"0:{selector}", *chain, "-fps_mode", "passthrough", "-f",
                  "streamhash", "-hash", "md5", "-").decode().split("=")[-1].strip()


def samples(path, selector="a:0", form="s16le", *arguments):
    """The decoded samples of an audio stream, raw."""
    return ffmpeg("-i", path, "-map", f"0:{selector}", *arguments, "-f", form, "-")


@functools.lru_cache(maxsize=None)
def sound_seconds(path, selector="a:0"):
    """Seconds of decoded sound."""
    rate = 8000
    stream = next((s for s in probe(path).streams if s.index == selector), None)
    if stream and stream.codec.startswith("amr"):
        return span(path, selector)  # ffmpeg decodes only the first frame of a packet
    return len(samples(path, selector, "s16le", "-ac", "1", "-ar", str(rate))) / 2 / rate


@functools.lru_cache(maxsize=None)
def loudness(path, selector="a:0"):
    """Mean volume in dB."""
    done = subprocess.run(["ffmpeg", "-nostdin", "-i", str(path), "-map", f"0:{selector}", "-af",
                           "volumedetect", "-f", "null", "-"], capture_output=True, check=False)
    found = re.search(r"mean_volume: (-?[\d.]+|-inf) dB", done.stderr.decode())
    return float(found[1]) if found else math.nan


def similarity(path, reference, reference_filters="null", seconds=None):
    """SSIM of a file's pictures against those of a reference, frame by frame."""
    limit = ["-t", str(seconds)] if seconds else []
    graph = (f"[0:v:0]setpts=N/25/TB,format=yuv420p[a];[1:v:0]{reference_filters},setpts=N/25/TB,"
             "format=yuv420p[b];[a][b]ssim")
    done = subprocess.run(["ffmpeg", "-nostdin", *limit, "-i", str(path), *limit, "-i",
                           str(reference), "-filter_complex", graph, "-f", "null", "-"],
                          capture_output=True, check=False)
    found = re.search(r"SSIM .*All:([\d.]+)", done.stderr.decode())
    assert found, done.stderr.decode()[-2000:]
    return float(found[1])


def samples_of_picture(path):
    """The grey levels of a picture."""
    return ffmpeg("-i", path, "-vf", "format=gray", "-f", "rawvideo", "-")


@functools.lru_cache(maxsize=None)
def whole_pictures():
    """Input options; from 7.1 on ffmpeg crops to a file's clean aperture, which luma doesn't."""
    told = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    release = re.match(r"ffmpeg version n?(\d+)\.(\d+)", told.stdout)
    crops = release and (int(release[1]), int(release[2])) >= (7, 1)
    return ["-apply_cropping", "codec"] if crops else []


def still_psnr(picture, video, number, size, stream="v:0"):
    """PSNR of a picture's brightness against frame `number` of a video, both at a size."""
    width, height = size
    scale = f"scale={width}:{height}:flags=bicubic,setsar=1,format=rgb24,format=gray"
    graph = (f"[0:v:0]{scale}[a];[1:{stream}]select=eq(n\\,{number}),setpts=0,{scale}[b];"
             "[a]setpts=0[c];[c][b]psnr")
    inputs = ["-i", str(picture), *whole_pictures(), "-i", str(video)]
    done = subprocess.run(["ffmpeg", "-nostdin", *inputs, "-filter_complex", graph, "-frames:v",
                           "1", "-f", "null", "-"], capture_output=True, check=False)
    found = re.search(r"PSNR .*average:([\d.]+|inf)", done.stderr.decode())
    assert found, done.stderr.decode()[-2000:]
    return math.inf if found[1] == "inf" else float(found[1])


@functools.lru_cache(maxsize=None)
def complaints(path):
    """What ffmpeg says while it decodes all of a file; "" if nothing."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v?",
                           "-map", "0:a?", "-fps_mode", "passthrough", "-enc_time_base", "-1",
                           "-f", "null", "-"], capture_output=True, check=False)
    said = done.stderr.decode().strip()[-500:]
    return said or (f"status {done.returncode}" if done.returncode else "")


def fitted(shown, width=None, height=None):
    """The size of a picture that fits a box without distortion and without growing."""
    factor = min(1.0, width / shown[0] if width else 1.0, height / shown[1] if height else 1.0)
    return shown[0] * factor, shown[1] * factor
