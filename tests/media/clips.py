"""Media made for the tests: small, quick to make, each with one thing that goes wrong easily."""

import os
import shutil
import struct
import subprocess

import pgs
from facts import ffmpeg

PICTURE = "testsrc2=size={size}:rate={rate}:duration={seconds}"
CHAPTERS = """;FFMETADATA1
title=A test clip
artist=Nobody
[CHAPTER]
TIMEBASE=1/1000
START=0
END=1500
title=First
[CHAPTER]
TIMEBASE=1/1000
START=1500
END=3000
title=Second
"""
SUBTITLES = """1
00:00:00,200 --> 00:00:01,000
Hello there

2
00:00:01,500 --> 00:00:02,500
<i>Goodbye</i> then
"""


def picture(size="320x240", rate=25, seconds=3):
    return ["-f", "lavfi", "-i", PICTURE.format(size=size, rate=rate, seconds=seconds)]


def colors(primaries, transfer, space):
    """A filter; FFmpeg 7.1 goes by what frames say, not by the output's options."""
    depth = "yuv420p10le" if transfer == "smpte2084" else "yuv420p"
    return (f"format={depth},setparams=range=tv:color_primaries={primaries}:color_trc={transfer}"
            f":colorspace={space}")


def tone(seconds=3, rate=48000, frequency=440):
    return ["-f", "lavfi", "-i", f"sine=frequency={frequency}:sample_rate={rate}"
            f":duration={seconds}"]


class Clips:
    """Makes each clip when it is first asked for, in a folder of this run."""

    def __init__(self, folder):
        self.folder = folder
        self.made = {}

    def __getitem__(self, name):
        if name not in self.made:
            path = str(self.folder / name)
            MAKERS[name](self, path)
            self.made[name] = path
        return self.made[name]

    def helper(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def speech(self):
        """Two seconds of speech where espeak-ng is there, else of a tone that comes and goes."""
        path = str(self.folder / "speech.wav")
        if not os.path.exists(path):
            if shutil.which("espeak-ng"):
                subprocess.run(["espeak-ng", "-w", path, "-s", "150",
                                "The quick brown fox jumps over the lazy dog."], check=True)
            else:
                ffmpeg(*tone(3), "-af", "tremolo=f=3:d=0.9", path)
        return path


def clip_mp4(clips, path):
    chapters = clips.helper("chapters.txt", CHAPTERS)
    ffmpeg(*picture(), "-i", clips.speech(), "-i", chapters, "-map", "0:v", "-map", "1:a",
           "-map_metadata", "2", "-map_chapters", "2", "-c:v", "libx264", "-preset", "veryfast",
           "-crf", "16", "-g", "25", "-c:a", "aac", "-b:a", "96k", "-ac", "2", "-ar", "48000",
           "-af", "apad", "-t", "3", "-metadata:s:a:0", "language=deu", "-metadata:s:v:0",
           "language=eng", "-vf", colors("bt709", "bt709", "bt709"), path)


def rotated_mp4(clips, path):
    """The matrix in its first track's header turns it; which option of ffmpeg does, differs."""
    ffmpeg("-i", clips["clip.mp4"], "-map", "0", "-c", "copy", path)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    matrix = data.index(b"tkhd") + 44
    data[matrix:matrix + 36] = struct.pack(">9i", 0, -1 << 16, 0, 1 << 16, 0, 0, 0, 0, 1 << 30)
    with open(path, "wb") as file:
        file.write(data)


def tracks_mkv(clips, path):
    """Two sounds, two kinds of subtitles, a cover, a font, chapters, languages and titles."""
    subtitles = clips.helper("subtitles.srt", SUBTITLES)
    chapters = clips.helper("chapters.txt", CHAPTERS)
    cover = str(clips.folder / "cover.png")
    ffmpeg(*picture("64x64", 1, 1), "-frames:v", "1", cover)
    font = clips.helper("font.ttf", "not really a font")
    ffmpeg(*picture(), *tone(), *tone(frequency=880), "-i", subtitles, "-i", subtitles, "-i",
           chapters, "-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s", "-map", "4:s",
           "-map_metadata", "5", "-map_chapters", "5", "-c:v", "libx264", "-preset", "veryfast",
           "-c:a:0", "aac", "-c:a:1", "libvorbis", "-c:s:0", "srt", "-c:s:1", "ass",
           "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra",
           "-metadata:s:a:1", "title=Commentaire", "-metadata:s:s:0", "language=eng",
           "-metadata:s:s:1", "language=fra", "-disposition:s:1", "forced", "-attach", cover,
           "-metadata:s:t:0", "mimetype=image/png", "-metadata:s:t:0", "filename=cover.png",
           "-attach", font, "-metadata:s:t:1", "mimetype=application/x-truetype-font",
           "-metadata:s:t:1", "filename=font.ttf", path)


def vfr_mkv(_clips, path):
    ffmpeg(*picture(), "-vf", "select='not(mod(n,3))+lt(mod(n,20),7)'", "-fps_mode", "vfr",
           "-c:v", "libx264", "-preset", "veryfast", path)


def odd_mkv(_clips, path):
    ffmpeg(*picture("160x120", 25, 1), "-vf", "scale=161:121", "-c:v", "ffv1", "-pix_fmt",
           "yuv420p", path)


def anamorphic_mp4(_clips, path):
    ffmpeg(*picture("180x288", 25, 2), "-vf", "setsar=2/1", "-c:v", "libx264", "-preset",
           "veryfast", path)


def interlaced_ts(_clips, path):
    ffmpeg(*picture("352x288", 50, 2), *tone(2), "-vf", "tinterlace=interleave_top,setfield=tff",
           "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-b:v", "2M", "-c:a", "mp2", "-f",
           "mpegts", path)


def hdr_mkv(_clips, path):
    tags = ("master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
            "L(10000000,1):max-cll=1000,400:hdr10=1:repeat-headers=1:log-level=none")
    ffmpeg(*picture("160x120", 25, 1), "-vf", colors("bt2020", "smpte2084", "bt2020nc"), "-c:v",
           "libx265", "-preset", "ultrafast", "-x265-params", tags, path)


def plain_mp4(_clips, path):
    """One dark colour, so that whatever is drawn on it stands out."""
    ffmpeg("-f", "lavfi", "-i", "color=c=0x204060:size=320x180:rate=25:duration=3", "-c:v",
           "libx264", "-preset", "ultrafast", "-crf", "10", path)


def silent_mp4(_clips, path):
    ffmpeg(*picture(seconds=2), "-c:v", "libx264", "-preset", "veryfast", path)


def short_sound_mp4(_clips, path):
    ffmpeg(*picture(), *tone(1), "-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", path)


def short_picture_mp4(_clips, path):
    ffmpeg(*picture(seconds=1), *tone(3), "-c:v", "libx264", "-preset", "veryfast", "-c:a",
           "aac", path)


def late_sound_mkv(_clips, path):
    ffmpeg(*picture(), "-itsoffset", "0.5", *tone(2), "-c:v", "libx264", "-preset", "veryfast",
           "-c:a", "libvorbis", path)


def two_sizes_ts(clips, path):
    """The size of the picture changes in the middle."""
    parts = []
    for number, size in enumerate(("320x240", "176x144")):
        part = str(clips.folder / f"part{number}.ts")
        ffmpeg(*picture(size, 25, 1), "-c:v", "libx264", "-preset", "veryfast", "-bf", "0",
               "-output_ts_offset", str(number), "-muxdelay", "0", part)
        parts.append(part)
    with open(path, "wb") as out:
        for part in parts:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, out)


def cover_mp3(clips, path):
    cover = str(clips.folder / "mp3-cover.jpg")
    ffmpeg(*picture("120x90", 1, 1), "-frames:v", "1", cover)
    ffmpeg("-i", clips.speech(), "-i", cover, "-map", "0", "-map", "1", "-c:a", "libmp3lame",
           "-af", "apad", "-t", "3", "-b:a", "128k", "-ar", "44100", "-c:v", "copy", "-disposition:v", "attached_pic",
           "-metadata", "title=Speech", "-metadata", "artist=Nobody", path)


def deep_wav(_clips, path):
    ffmpeg(*tone(1, 96000), "-af", "volume=0.5", "-c:a", "pcm_s24le", path)


def surround_mkv(_clips, path):
    ffmpeg("-f", "lavfi", "-i", "aevalsrc=0.1*sin(440*2*PI*t)|0.1*sin(550*2*PI*t)|"
           "0.1*sin(660*2*PI*t)|0.1*sin(60*2*PI*t)|0.1*sin(770*2*PI*t)|0.1*sin(880*2*PI*t)"
           ":c=5.1:s=48000:d=1", "-c:a", "ac3", "-b:a", "448k", path)


def truncated_mkv(clips, path):
    data = open(clips["tracks.mkv"], "rb").read()
    open(path, "wb").write(data[:len(data) * 2 // 3])


def truncated_mp4(clips, path):
    data = open(clips["clip.mp4"], "rb").read()
    open(path, "wb").write(data[:len(data) // 2])


def scenes_mp4(_clips, path):
    """Three scenes of unlike length and a black second, a keyframe every 0.4 s."""
    graph = "[0:v][1:v][2:v][3:v]concat=n=4,format=yuv420p"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1", "-f", "lavfi", "-i",
           "color=black:s=160x120:r=25:d=1", "-f", "lavfi", "-i", "smptebars=s=160x120:r=25:d=3",
           "-f", "lavfi", "-i", "mandelbrot=s=160x120:r=25:maxiter=50,trim=end=1", "-filter_complex",
           graph, "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-keyint_min", "10",
           "-sc_threshold", "0", path)


def words_srt(clips, path):
    clips.helper(os.path.basename(path), SUBTITLES)


def bitmap_mkv(clips, path):
    """Subtitles that are pictures."""
    pictures = str(clips.folder / "pictures.sup")
    pgs.sup(pictures, (160, 120), [(0.2, 0.8, 40, 90, 80, 20, 255)])
    ffmpeg(*picture("160x120", 25, 1), "-i", pictures, "-map", "0", "-map", "1", "-c:v", "libx264",
           "-preset", "ultrafast", "-c:s", "copy", "-metadata:s:s:0", "language=eng", path)


def web_webm(_clips, path):
    ffmpeg(*picture("160x120", 25, 1), *tone(1), "-c:v", "libvpx-vp9", "-deadline", "realtime",
           "-cpu-used", "8", "-c:a", "libopus", "-metadata:s:a:0", "language=eng", path)


def old_avi(_clips, path):
    ffmpeg(*picture("160x120", 25, 1), *tone(1), "-c:v", "mpeg4", "-c:a", "libmp3lame", path)


def studio_mov(_clips, path):
    """As cameras for editing write: 10-bit 4:2:2, each microphone a track."""
    ffmpeg(*picture("160x120", 25, 1), *tone(1), *tone(1, frequency=880), "-map", "0:v", "-map",
           "1:a", "-map", "2:a", "-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a",
           "pcm_s24le", path)


def song_m4a(_clips, path):
    ffmpeg(*tone(1), "-c:a", "aac", "-metadata", "title=Song", "-metadata", "artist=Nobody", path)


def live_webm(_clips, path):
    """Written as a browser does: forward, without a duration."""
    ffmpeg(*picture("160x120", 25, 2), "-c:v", "libvpx-vp9", "-deadline", "realtime",
           "-cpu-used", "8", "-live", "1", "-f", "webm", path)


def garbage_bin(_clips, path):
    open(path, "wb").write(bytes((i * 7919 + i // 251) % 256 for i in range(20000)))


def empty_mp4(_clips, path):
    open(path, "wb").close()


MAKERS = {
    "clip.mp4": clip_mp4,
    "rotated.mp4": rotated_mp4,
    "tracks.mkv": tracks_mkv,
    "vfr.mkv": vfr_mkv,
    "odd.mkv": odd_mkv,
    "anamorphic.mp4": anamorphic_mp4,
    "interlaced.ts": interlaced_ts,
    "hdr.mkv": hdr_mkv,
    "plain.mp4": plain_mp4,
    "silent.mp4": silent_mp4,
    "short-sound.mp4": short_sound_mp4,
    "short-picture.mp4": short_picture_mp4,
    "late-sound.mkv": late_sound_mkv,
    "two-sizes.ts": two_sizes_ts,
    "cover.mp3": cover_mp3,
    "deep.wav": deep_wav,
    "surround.mkv": surround_mkv,
    "truncated.mkv": truncated_mkv,
    "truncated.mp4": truncated_mp4,
    "scenes.mp4": scenes_mp4,
    "words.srt": words_srt,
    "bitmap.mkv": bitmap_mkv,
    "web.webm": web_webm,
    "old.avi": old_avi,
    "studio.mov": studio_mov,
    "song.m4a": song_m4a,
    "live.webm": live_webm,
    "garbage.bin": garbage_bin,
    "empty.mp4": empty_mp4,
}
