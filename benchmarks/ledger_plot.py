"""`python benchmarks/ledger_plot.py RUN.json docs/ledger-cost.svg`: draw what `ledger.py --json` measured.

One line for each function, its p50 and, dashed, its p99 over the number of waiting jobs; both axes are logarithmic.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 600, 30, 350
"""Edges of the plotting area, in pixels."""
LEAST_US, MOST_US = 10, 10_000
GOAL_US = 1000
COLOURS = {"pump": "#c2410c", "claim": "#1d4ed8", "renew": "#6b7280", "finish": "#15803d"}


def main() -> None:
    """Read a run and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="what `ledger.py --json` printed, for several sizes of the queue")
    parser.add_argument("picture", type=Path, help="the SVG to write")
    options = parser.parse_args()
    costs = json.loads(options.run.read_text())["costs"]
    options.picture.write_text(drawn(costs), encoding="utf-8")


def drawn(costs: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture as SVG."""
    sizes = sorted({cost["waiting"] for cost in costs})
    if len(sizes) < 2:
        raise SystemExit(f"the run has {len(sizes)} size of the queue; measure two or more: --waiting 1000 100000")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *axes(sizes),
        *(part for name in COLOURS for part in lines(name, costs, sizes)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def axes(sizes: Sequence[int]) -> Iterator[str]:
    """Yield grid, labels, and the goal."""
    for power in range(round(math.log10(LEAST_US)), round(math.log10(MOST_US)) + 1):
        y = down(10**power)
        yield f'<path d="M{LEFT} {y}H{RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{10**power:,}</text>'
    for size in sizes:
        x = across(size, sizes)
        yield f'<path d="M{x} {TOP}V{BOTTOM}" stroke="#eee"/>'
        yield f'<text x="{x}" y="{BOTTOM + 18}" text-anchor="middle">{size:,}</text>'
    yield f'<path d="M{LEFT} {down(GOAL_US)}H{RIGHT}" stroke="#b91c1c" stroke-dasharray="2 3"/>'
    yield f'<text x="{LEFT}" y="{TOP - 12}">server time of a call, µs; dashed: p99; dotted: the goal for p99</text>'
    yield f'<text x="{RIGHT}" y="{BOTTOM + 38}" text-anchor="end">jobs that wait</text>'


def lines(name: str, costs: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> Iterator[str]:
    """Yield a function's two lines, and its name at their end."""
    own = sorted((cost for cost in costs if cost["name"] == name), key=lambda cost: cost["waiting"])
    for quantile, dash in (("p50_us", ""), ("p99_us", ' stroke-dasharray="6 4"')):
        points = " ".join(f"{across(cost['waiting'], sizes)},{down(cost[quantile])}" for cost in own)
        yield f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"{dash}/>'
        label = f"{name} {quantile[:3]} {own[-1][quantile]:,.0f}"
        yield f'<text x="{RIGHT + 8}" y="{down(own[-1][quantile]) + 4}" fill="{COLOURS[name]}">{label}</text>'


def across(size: int, sizes: Sequence[int]) -> float:
    """Return the pixel of a size of the queue."""
    part = (math.log10(size) - math.log10(sizes[0])) / (math.log10(sizes[-1]) - math.log10(sizes[0]))
    return round(LEFT + part * (RIGHT - LEFT), 1)


def down(microseconds: float) -> float:
    """Return the pixel of a time."""
    part = math.log10(max(microseconds, LEAST_US) / LEAST_US) / math.log10(MOST_US / LEAST_US)
    return round(BOTTOM - part * (BOTTOM - TOP), 1)


if __name__ == "__main__":
    main()
