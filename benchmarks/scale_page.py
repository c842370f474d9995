"""`python benchmarks/scale_page.py RUN.json`: write what `scale.py` measured into docs/scale.md and docs/scale.svg.

The table stands between two marks in the document; the plot has a line for a busy worker's cost over the number of
workers, and one for an idle worker's.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- scale.py -->", "<!-- end -->"
GOALS = {(1.17, 0.0): 900, (3.4, 0.0): 600, (1.17, 0.1): 1000}
"""µs of a worker-second at 1,000 workers, by seconds of a clip and share of batches of a class."""
IDLE_GOAL = 120
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 60, 500, 30, 270
"""Size of the picture, and edges of its plotting area, in pixels."""

Run = Mapping[str, Any]


def main() -> None:
    """Read a run and write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="what `scale.py --out` wrote")
    runs: list[Run] = json.loads(parser.parse_args().run.read_text())
    page = DOCS / "scale.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(runs)}\n{END}{after}", encoding="utf-8")
    (DOCS / "scale.svg").write_text(drawn(plain(runs)), encoding="utf-8")


def table(runs: Sequence[Run]) -> str:
    """Return the rows as a table of Markdown; the goals hold for 1,000 workers."""
    head = (
        "| workers | clip, s | batches of a class | a worker-second, µs | goal | idle, µs | goal | a clip, µs "
        "| calls a worker-second | AOF, bytes | latest, s |"
    )
    return "\n".join([head, "| --- " * 11 + "|", *map(row, runs)])


def row(run: Run) -> str:
    """Return one line of the table."""
    busy, is_goal = run["busy"], run["workers"] == 1000
    goal = GOALS.get((run["clip_s"], run["class_share"]), "") if is_goal else ""
    cells = (
        f"{run['workers']:,}",
        f"{run['clip_s']:g}",
        f"{run['class_share']:.0%}",
        f"{run['cpu_us_at_full_pace']:,.0f}",
        str(goal),
        f"{run['idle']['cpu_us']:,.0f}",
        str(IDLE_GOAL) if is_goal else "",
        f"{run['cpu_us_per_clip']:,.0f}",
        f"{busy['fcalls']:.1f}",
        f"{busy['aof_bytes']:,.0f}",
        f"{busy['lag_s']:g}",
    )
    return f"| {' | '.join(cells)} |"


def plain(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that differ in the number of workers only."""
    return [run for run in runs if (run["clip_s"], run["class_share"]) == (1.17, 0.0)]


def drawn(runs: Sequence[Run]) -> str:
    """Return the picture as SVG."""
    if len(runs) < 2:
        raise SystemExit("the run has fewer than two numbers of workers at 1.17 s: run scale.py without --workers")
    most = 1.2 * max(run["cpu_us_at_full_pace"] for run in runs)
    busy = [(run["workers"], run["cpu_us_at_full_pace"]) for run in runs]
    idle = [(run["workers"], run["idle"]["cpu_us"]) for run in runs]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="{TOP - 12}">µs of the server\'s core, a worker and second</text>',
        *grid([size for size, _ in busy], most),
        *line("1.17 s a clip", busy, most, "#c2410c"),
        *line("idle", idle, most, "#1d4ed8"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def grid(sizes: Sequence[int], most: float) -> Iterator[str]:
    """Yield the lines and labels of both axes."""
    for value in range(0, int(most) + 1, 200):
        y = down(value, most)
        yield f'<path d="M{LEFT} {y}H{RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:,}</text>'
    for size in sizes:
        yield f'<text x="{across(size, sizes)}" y="{BOTTOM + 18}" text-anchor="middle">{size:,}</text>'
    yield f'<text x="{RIGHT}" y="{BOTTOM + 38}" text-anchor="end">workers</text>'


def line(name: str, points: Sequence[tuple[int, float]], most: float, colour: str) -> Iterator[str]:
    """Yield a line with its points, and its name at its end."""
    sizes = [size for size, _ in points]
    places = [(across(size, sizes), down(value, most)) for size, value in points]
    path = " ".join(f"{x},{y}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
    yield f'<text x="{RIGHT + 8}" y="{places[-1][1] + 4}" fill="{colour}">{name} {points[-1][1]:,.0f}</text>'


def across(size: int, sizes: Sequence[int]) -> float:
    """Return the pixel of a number of workers, on a logarithmic axis."""
    part = (math.log(size) - math.log(sizes[0])) / (math.log(sizes[-1]) - math.log(sizes[0]))
    return round(LEFT + part * (RIGHT - LEFT), 1)


def down(value: float, most: float) -> float:
    """Return the pixel of a cost."""
    return round(BOTTOM - value / most * (BOTTOM - TOP), 1)


if __name__ == "__main__":
    main()
