#!/usr/bin/python3
"""Runs a command in a terminal and draws what stands there in the end as an SVG, for the README:

    docs/terminal_svg.py docs/demo.svg make demo
"""
import html
import os
import pty
import re
import sys

COLUMNS = 108
COLOURS = {"31": "#f7768e", "32": "#9ece6a", "33": "#e0af68", "34": "#7aa2f7", "35": "#bb9af7",
           "36": "#7dcfff", "90": "#7a88b0"}
CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r\n|\r|\n)|([^\x1b\r\n]+)")


def screen(text):
    """The lines that are left, each a list of (character, style)."""
    lines, row, column, style = [[]], 0, 0, ()
    for codes, command, newline, plain in CONTROL.findall(text):
        if plain:
            for character in plain:
                line = lines[row]
                line.extend([(" ", ())] * (column - len(line)))
                line[column:column + 1] = [(character, style)]
                column += 1
        elif newline == "\r":
            column = 0
        elif newline:
            row, column = row + 1, 0
            if row == len(lines):
                lines.append([])
        elif command == "m":
            style = () if codes in ("", "0") else style + tuple(codes.split(";"))
        elif command == "K":
            del lines[row][column:]
        elif command == "A":
            row = max(0, row - int(codes or 1))
    return lines


def runs(line):
    """Characters of one style together."""
    start = 0
    for end in range(1, len(line) + 1):
        if end == len(line) or line[end][1] != line[start][1]:
            yield "".join(character for character, _ in line[start:end]), line[start][1]
            start = end


def svg(lines, title):
    width, height = COLUMNS * 8.4 + 40, len(lines) * 19 + 62
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
             f'width="{width:.0f}" role="img">',
             f"<title>{html.escape(title)}</title>",
             f'<rect width="100%" height="100%" rx="8" fill="#1a1b26"/>']
    parts += [f'<circle cx="{20 + 18 * i}" cy="18" r="6" fill="{colour}"/>'
              for i, colour in enumerate(("#f7768e", "#e0af68", "#9ece6a"))]
    parts.append('<g font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14" '
                 'fill="#c0caf5" xml:space="preserve">')
    for number, line in enumerate(lines):
        pieces = []
        for text, style in runs(line):
            colour = next((COLOURS[code] for code in style if code in COLOURS), None)
            attributes = f' fill="{colour}"' if colour else ""
            attributes += ' font-weight="bold"' if "1" in style else ""
            attributes += ' opacity="0.65"' if "2" in style else ""
            pieces.append(f"<tspan{attributes}>{html.escape(text)}</tspan>")
        parts.append(f'<text x="20" y="{52 + 19 * number}">{"".join(pieces)}</text>')
    return "\n".join(parts + ["</g>", "</svg>", ""])


def main():
    path, *command = sys.argv[1:]
    os.environ.update(COLUMNS=str(COLUMNS), LINES="60", TERM="xterm-256color")
    output = bytearray()

    def read(descriptor):
        data = os.read(descriptor, 65536)
        output.extend(data)
        return data

    status = pty.spawn(command, read)
    lines = screen("$ " + " ".join(command) + "\n" + output.decode())
    while lines and not "".join(character for character, _ in lines[-1]).strip():
        lines.pop()
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg(lines, " ".join(command)))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
