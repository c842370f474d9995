"""The gallery: one HTML page, complete in itself, that shows a batch's clips from the folder it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from reelmill_common.ledger import BatchView, JobView
from reelmill_producer.clips import Clip

_STYLE = """
:root { color-scheme: dark light; --gap: 1rem }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 var(--gap) }
header p { opacity: .75 }
main { display: grid; gap: var(--gap); grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)) }
figure { margin: 0; border: 1px solid #8884; border-radius: 8px; overflow: hidden }
video { width: 100%; display: block; background: #000; image-rendering: auto }
figcaption { padding: .6rem .8rem }
figcaption small { display: block; opacity: .7; overflow-wrap: anywhere }
.failed { border-color: #c44 }
.failed figcaption::before { content: "failed"; color: #e66; font-weight: 600 }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """What the page shows.

    Attributes:
        folder: Path from the page to the store's root, with `/` at its end, or a URL.
        failed: Jobs without a clip.
    """

    batch: BatchView
    clips: Sequence[Clip]
    failed: Sequence[JobView]
    folder: str

    def html(self) -> str:
        """Return the page. Prompts come from people and are escaped."""
        title = escape(f"Reelmill: {self.batch.name}")
        figures = "\n".join([*(self._clip(clip) for clip in self.clips), *map(_failure, self.failed)])
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            f"<header><h1>{title}</h1><p>{len(self.clips)} of {self.batch.total} clips</p></header>\n"
            f"<main>\n{figures}\n</main>\n</body>\n</html>\n"
        )

    def _clip(self, clip: Clip) -> str:
        spec = clip.spec
        facts = (
            f"seed {spec.seed} · {spec.width}x{spec.height} · {spec.frames} frames, {spec.fps} a second · "
            f"{spec.sampler} · {spec.profile} · {sum(clip.seconds.values()):.1f} s"
        )
        return (
            f'<figure id="{clip.job_id}">\n'
            f'<video controls loop muted playsinline preload="none" width="{spec.width}" height="{spec.height}" '
            f'poster="{self._link(clip.poster_key)}" src="{self._link(clip.key)}"></video>\n'
            f"<figcaption>{escape(spec.prompt)}<small>{escape(facts)}</small>"
            f'<small><a href="{self._link(clip.manifest_key)}">{escape(clip.key)}</a></small></figcaption>\n</figure>'
        )

    def _link(self, key: str) -> str:
        return escape(quote(self.folder + key, safe="/:"))


def _failure(job: JobView) -> str:
    error = job.error or {}
    return (
        f'<figure class="failed" id="{job.job_id}">\n<figcaption> {escape(job.spec.prompt)}'
        f"<small>{escape(error.get('code', ''))}: {escape(error.get('message', ''))}</small></figcaption>\n</figure>"
    )
