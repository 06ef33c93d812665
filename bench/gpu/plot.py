#!/usr/bin/env python3
"""Throughput over concurrency as an SVG, both axes logarithmic.

  bench/gpu/plot.py docs/gpu-speed.json docs/gpu-speed.svg

Each series of the JSON file has a name and points {sequences: tokens/s}; "ours" are solid lines.
"""
import json
import math
import sys

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 60, 560, 40, 390
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"]


def text(x, y, content, anchor="middle", colour="#333"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="12" '
            f'font-family="sans-serif" fill="{colour}">{content}</text>')


def scale(low, high, first, last):
    """Maps [low, high] to [first, last] by the logarithm."""
    return lambda v: first + (last - first) * math.log(v / low) / math.log(high / low)


def grid(x_of, y_of, sequences, speeds):
    out = []
    for n in sequences:
        out.append(f'<line x1="{x_of(n):.1f}" y1="{TOP}" x2="{x_of(n):.1f}" y2="{BOTTOM}" stroke="#ddd"/>')
        out.append(text(x_of(n), BOTTOM + 18, n))
    for speed in speeds:
        out.append(f'<line x1="{LEFT}" y1="{y_of(speed):.1f}" x2="{RIGHT}" y2="{y_of(speed):.1f}" stroke="#ddd"/>')
        out.append(text(LEFT - 6, y_of(speed) + 4, f"{speed:,}", "end"))
    return out


def line(series, colour, x_of, y_of):
    points = sorted((int(n), speed) for n, speed in series["points"].items())
    path = " ".join(f"{x_of(n):.1f},{y_of(speed):.1f}" for n, speed in points)
    dashes = "" if series["ours"] else ' stroke-dasharray="5 4"'
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>']
    out += [f'<circle cx="{x_of(n):.1f}" cy="{y_of(speed):.1f}" r="3" fill="{colour}"/>' for n, speed in points]
    return out


def spread_labels(ends, step=15):
    """Heights of labels near `ends`, at least `step` apart."""
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    placed = {}
    lowest = -math.inf
    for i in order:
        placed[i] = max(ends[i], lowest + step)
        lowest = placed[i]
    return placed


def plot(data):
    sequences = sorted({int(n) for s in data["series"] for n in s["points"]})
    speeds = [v for s in data["series"] for v in s["points"].values()]
    ticks = [v for v in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
             if min(speeds) / 2 < v < max(speeds) * 1.3]
    x_of = scale(sequences[0], sequences[-1], LEFT, RIGHT)
    y_of = scale(ticks[0], max(ticks[-1], max(speeds)), BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'width="{WIDTH}" height="{HEIGHT}">', '<rect width="100%" height="100%" fill="white"/>',
           text((LEFT + RIGHT) / 2, 22, data["title"]),
           text((LEFT + RIGHT) / 2, BOTTOM + 38, "sequences decoded together")]
    out += grid(x_of, y_of, sequences, ticks)
    last = [s["points"][max(s["points"], key=int)] for s in data["series"]]
    labels = spread_labels([y_of(v) for v in last])
    for i, series in enumerate(data["series"]):
        colour = COLOURS[i % len(COLOURS)]
        out += line(series, colour, x_of, y_of)
        out.append(text(RIGHT + 8, labels[i] + 4, series["name"], "start", colour))
    return "\n".join(out) + "\n</svg>\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        svg = plot(json.load(file))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(svg)
