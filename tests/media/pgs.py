"""Subtitles as pictures (PGS, a .sup file), since ffmpeg can't make them out of text.

Each event is a filled rectangle: (start, end, x, y, width, height, alpha). The segments are those
of US patent 2009/0185789 A1, as the decoders of FFmpeg and of players read them.
"""

import struct


def segment(time, kind, data):
    return struct.pack(">2sIIBH", b"PG", round(time * 90000), 0, kind, len(data)) + data


def run_lengths(width, height):
    """One colour all over."""
    if width < 64:
        line = bytes((0, 0x80 | width, 1))
    else:
        line = bytes((0, 0xC0 | width >> 8, width & 0xFF, 1))
    return (line + b"\0\0") * height


def composition(canvas, number, objects):
    return struct.pack(">HHBHBBBB", *canvas, 0x10, number, 0x80 if objects else 0, 0, 0,
                       len(objects)) + b"".join(objects)


def sup(path, canvas, events):
    out = b""
    for number, (start, end, x, y, width, height, alpha) in enumerate(events):
        window = struct.pack(">BBHHHH", 1, 0, x, y, width, height)
        coded = run_lengths(width, height)
        picture = struct.pack(">HBB", 0, 0, 0xC0) + (len(coded) + 4).to_bytes(3, "big") \
            + struct.pack(">HH", width, height) + coded
        out += segment(start, 0x16, composition(canvas, 2 * number,
                                                [struct.pack(">HBBHH", 0, 0, 0, x, y)]))
        out += segment(start, 0x17, window)
        out += segment(start, 0x14, bytes((0, 0, 1, 235, 128, 128, alpha)))
        out += segment(start, 0x15, picture)
        out += segment(start, 0x80, b"")
        out += segment(end, 0x16, composition(canvas, 2 * number + 1, []))
        out += segment(end, 0x17, window)
        out += segment(end, 0x80, b"")
    with open(path, "wb") as file:
        file.write(out)
    return path
