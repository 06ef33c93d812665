#!/usr/bin/env python3
"""The README's picture: bars of us and a peer in pairs, and quality over size, from measured values.

  bench/peers/proof.py docs/proof.json docs/proof.svg

Fails rather than draw a label over another or over a point.
"""
import json
import math
import sys

WIDTH, HEIGHT = 960, 640
OURS, THEIRS, INK, FAINT = "#0b6bcb", "#b0652a", "#333", "#ddd"
SIZE = 12  # of letters, px; one is at most 0.62 as wide


def text(x, y, content, anchor="start", colour=INK, size=SIZE, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-family="sans-serif" fill="{colour}"{more}>{content}</text>')


def bars(panel, left, top, width):
    """Horizontal bars in pairs; the second of a pair is the peer's."""
    out = [text(left, top, panel["title"], size=14, more=' font-weight="bold"'),
           text(left, top + 18, panel["unit"], colour="#666")]
    longest = max(max(p["ours"][1], p["theirs"][1]) for p in panel["pairs"])
    room = width - 55  # for a bar, its value behind it
    y = top + 42
    for pair in panel["pairs"]:
        ratio = pair["ours"][1] / pair["theirs"][1]
        out.append(text(left, y, f'{pair["name"]}: {ratio:.1f} times' if ratio > 1 else
                        f'{pair["name"]}: {100 * (1 - ratio):.0f} % less'))
        for (name, value), colour in ((pair["ours"], OURS), (pair["theirs"], THEIRS)):
            length = room * value / longest
            out.append(f'<rect x="{left}" y="{y + 6:.1f}" width="{length:.1f}" height="17" fill="{colour}"/>')
            label = f"{value:,.0f}"
            if length > 0.62 * SIZE * len(name) + 8:
                out.append(text(left + 4, y + 19, name, colour="white"))
            else:
                label = f"{name} {label}"
            out.append(text(left + length + 5, y + 19, label, colour=colour))
            y += 20
        y += 24
    return out


def nice_ticks(low, high, n=5):
    step = 10 ** math.floor(math.log10((high - low) / n))
    step = next(step * m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= n)
    first = math.ceil(low / step)
    return [step * i for i in range(first, math.floor(high / step) + 1)]


def overlaps(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def place_label(name, x, y, taken, frame):
    """Where the label of a point at (x, y) covers nothing: (x of its left end, y of its base line)."""
    width = 0.62 * SIZE * len(name)
    for dx, dy in ((9, 4), (-9 - width, 4), (-width / 2, -9), (-width / 2, 19), (9, -8), (9, 16),
                   (-9 - width, -8), (-9 - width, 16)):
        box = (x + dx, y + dy - SIZE + 2, x + dx + width, y + dy + 3)
        inside = frame[0] <= box[0] and box[2] <= frame[2] and frame[1] <= box[1] and box[3] <= frame[3]
        if inside and not any(overlaps(box, other) for other in taken):
            taken.append(box)
            return x + dx, y + dy
    raise SystemExit(f"proof.py: no room for the label {name}; make the panel larger")


def scatter(panel, left, top, width, height):
    points = [(*p, OURS) for p in panel["ours"]] + [(*p, THEIRS) for p in panel["theirs"]]
    xs, ys = [p[1] for p in points], [p[2] for p in points] + [panel["source"]]
    pad_x, pad_y = (max(xs) - min(xs)) * 0.18, (max(ys) - min(ys)) * 0.12
    x0, x1, y0, y1 = min(xs) - pad_x, max(xs) + pad_x, min(ys) - pad_y, max(ys) + pad_y
    x_of = lambda v: left + (v - x0) / (x1 - x0) * width
    y_of = lambda v: top + height - (v - y0) / (y1 - y0) * height
    out = [text(left - 40, top - 32, panel["title"], size=14, more=' font-weight="bold"'),
           text(left - 40, top - 14, panel["y"], colour="#666"),
           text(left + width, top + height + 34, panel["x"], "end", "#666")]
    for v in nice_ticks(x0, x1):
        out.append(f'<line x1="{x_of(v):.1f}" y1="{top}" x2="{x_of(v):.1f}" y2="{top + height}" stroke="{FAINT}"/>')
        out.append(text(x_of(v), top + height + 17, f"{v:g}", "middle"))
    for v in nice_ticks(y0, y1):
        out.append(f'<line x1="{left}" y1="{y_of(v):.1f}" x2="{left + width}" y2="{y_of(v):.1f}" stroke="{FAINT}"/>')
        out.append(text(left - 6, y_of(v) + 4, f"{v:g}", "end"))
    source = y_of(panel["source"])
    out.append(f'<line x1="{left}" y1="{source:.1f}" x2="{left + width}" y2="{source:.1f}" stroke="{INK}" stroke-dasharray="4 3"/>')
    out.append(text(left + 4, source + 14, f'the source: {panel["source"]:g}'))
    taken = [(left, source - 2, left + width, source + 2),
             (left + 4, source + 4, left + 4 + 0.62 * SIZE * 18, source + 17)]
    taken += [(x_of(x) - 6, y_of(y) - 6, x_of(x) + 6, y_of(y) + 6) for _, x, y, _ in points]
    for name, x, y, colour in points:
        out.append(f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="5" fill="{colour}"/>')
        at = place_label(name, x_of(x), y_of(y), taken, (left, top, left + width, top + height))
        out.append(text(*at, name, colour=colour))
    return out


def plot(data):
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
           '<rect width="100%" height="100%" fill="white"/>',
           text(24, 30, data["title"], size=18, more=' font-weight="bold"')]
    for x, colour, name in ((560, OURS, "turboquant.cpp"), (700, THEIRS, "llama.cpp, ik_llama.cpp")):
        out.append(f'<rect x="{x}" y="18" width="14" height="14" fill="{colour}"/>')
        out.append(text(x + 20, 30, name, size=13))
    for i, panel in enumerate(data["bars"]):
        out += bars(panel, 24 + i * 312, 64, 288)
    for i, panel in enumerate(data["scatters"]):
        out += scatter(panel, 66 + i * 468, 348, 400, 190)
    for i, note in enumerate(data["notes"]):
        out.append(text(24, HEIGHT - 44 + i * 16, note, colour="#666", size=11))
    return "\n".join(out) + "\n</svg>\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        svg = plot(json.load(file))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(svg)
