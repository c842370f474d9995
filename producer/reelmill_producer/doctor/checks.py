"""The checks of `reelmill doctor`: they look at all that a farm depends on, and change nothing."""

from __future__ import annotations

import shutil
import ssl
import time
from dataclasses import replace
from http import HTTPStatus
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast
from urllib.error import HTTPError
from urllib.request import urlopen

from reelmill_common.config.extras import install_command
from reelmill_common.errors import ReelmillError
from reelmill_common.farm_mark import other_mark
from reelmill_common.findings import Finding, Severity, worst
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.server import PROMPT
from reelmill_common.provenance.identity import DAY_S, WARN_DAYS, checked_end, is_wanted
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store
from reelmill_producer.doctor.env_file import env_file_findings
from reelmill_producer.doctor.redis import redis_findings
from reelmill_producer.embedded import state_file

__all__ = ["Finding", "Severity", "examine", "examine_gpu", "worst"]

NO_SUCH_KEY = "reelmill/no-such-clip.mp4"
LINK_TIMEOUT_S = 10.0
GAPS_SHOWN = 5

GROUP = "reelmill.checkups"
"""Entry points of parts with checks of their own: the producer never imports the worker."""


class Checkup(Protocol):
    """The module that an entry point names."""

    def examine(self, settings: Settings, *, deep: bool) -> list[Finding]:
        """Look at this machine."""
        ...

    def examine_gpu(self, name: str) -> list[Finding]:
        """Say how a GPU that need not be here would render."""
        ...


def examine(settings: Settings, *, deep: bool = False) -> list[Finding]:
    """Check everything, in the order in which it is needed. Takes seconds, unless a server does not answer.

    Settings without a Redis URL mean the farm that runs on `settings.state_dir`, if one does.

    Args:
        settings: The settings of the farm.
        deep: Whether to run each attention kernel and hash the model's files too: a minute for the real model.
    """
    record = state_file.running(settings.state_dir) if settings.embedded else None
    if record is not None:
        settings = state_file.attached_to(settings, record)
    redis = redis_findings(settings)
    return [
        *env_file_findings(Path(".env")),
        *redis,
        *(gap_findings(settings) if redis[0].level is Severity.OK else ()),
        *store_findings(settings),
        *(other_stores(settings) if redis[0].level is Severity.OK else ()),
        *(found for checkup in _checkups() for found in checkup.examine(settings, deep=deep)),
        provenance_finding(settings),
        flower_finding(),
        disk_finding(settings),
    ]


def examine_gpu(name: str) -> list[Finding]:
    """Say how a GPU that need not be here would render.

    Raises:
        NotFound: The GPU is not in the worker's table.
    """
    return [found for checkup in _checkups() for found in checkup.examine_gpu(name)]


def _checkups() -> list[Checkup]:
    return [cast("Checkup", entry.load()) for entry in entry_points(group=GROUP)]


def gap_findings(settings: Settings) -> list[Finding]:
    """Report the keys of the ledger that are missing; nothing if Redis does not answer."""
    if settings.embedded:
        return []
    try:
        with Ledger.connect(settings, patience=PROMPT) as ledger:
            gaps = ledger.dispatch.gaps()
    except ReelmillError:  # reported by redis_findings
        return []
    if not gaps:
        return []
    more = f" and {len(gaps) - GAPS_SHOWN} more" if len(gaps) > GAPS_SHOWN else ""
    return [
        Finding(
            name="ledger",
            level=Severity.WARN,
            found=f"keys are missing, or were within a week: {', '.join(gaps[:GAPS_SHOWN])}{more}",
            advice="submit the files again, then `reelmill retry` what failed as spec_missing, and `resume` what is "
            "paused; make sure that Redis evicts nothing and no one deletes keys",
        )
    ]


def flower_finding() -> Finding:
    """Check whether the dashboard can be started here."""
    if find_spec("flower") is None:
        return Finding(name="flower", level=Severity.OK, found=f"not installed; {install_command('flower')} brings it")
    return Finding(name="flower", level=Severity.OK, found="installed; `reelmill flower` asks for a password")


def provenance_finding(settings: Settings) -> Finding:
    """Check whether clips are signed, and how long the certificate lasts."""
    if settings.provenance == "off":
        found = "off: clips bear plain marks only, which anyone can remove"
        return Finding(name="provenance", level=Severity.OK, found=found)
    if not is_wanted(settings):
        found = "no certificate is set: clips bear plain marks only (`reelmill provenance init`, docs/marking.md)"
        return Finding(name="provenance", level=Severity.OK, found=found)
    try:
        ends_at = checked_end(settings)
    except ReelmillError as err:
        return Finding.from_error("provenance", err)
    days = (ends_at - time.time()) / DAY_S
    if days <= 0:
        level, found = Severity.FAIL, f"the certificate expired {-days:.0f} days ago: no clip is signed"
    else:
        level = Severity.WARN if days < WARN_DAYS else Severity.OK
        found = f"clips are signed; the certificate lasts {days:.0f} more days"
    advice = "put a new certificate and key in the same files; workers read them without a restart"
    return Finding(name="provenance", level=level, found=found, advice="" if level is Severity.OK else advice)


def store_findings(settings: Settings) -> list[Finding]:
    """Try the clip store, and a link to it if its links expire."""
    found = store_finding(settings)
    if found.level is not Severity.OK or not settings.store_url.startswith("s3://"):
        return [found]
    store = open_store(settings)
    found_link = link_finding(store.url(NO_SUCH_KEY), settings.s3_ca_bundle)
    if found_link.level is Severity.OK and store.links_note:
        found_link = replace(found_link, level=Severity.WARN, found=f"{found_link.found}, but {store.links_note}")
    return [found, found_link]


def other_stores(settings: Settings) -> list[Finding]:
    """Check whether workers store their clips elsewhere than these settings say."""
    if settings.embedded:
        return []
    try:
        with Ledger.connect(settings, patience=PROMPT) as ledger:
            theirs = {_place(view.info.store): view.name for view in ledger.workers.all()}
            mark = other_mark(ledger, open_store(settings))
    except ReelmillError:
        return []  # reported by the findings of Redis and of the store
    if mark is not None:
        found, _, advice = mark.warning(settings.farm).partition(". ")
        return [Finding(name="store.farm", level=Severity.WARN, found=found, advice=advice)]
    ours = _place(settings.store_url or settings.clips_folder.absolute().as_uri())
    return [
        Finding(
            name="store.workers",
            level=Severity.WARN,
            found=f"{worker} stores its clips in {store}, and here they are looked for in {ours}",
            advice="set REELMILL_STORE_URL alike on all hosts",
        )
        for store, worker in sorted(theirs.items())
        if store and store != ours
    ]


def _place(url: str) -> str:
    """Return a store without the name of its server, which may have another name for readers."""
    return url.partition(" at ")[0].rstrip("/")


def link_finding(link: str, ca_bundle: str) -> Finding:
    """Check whether a presigned link is accepted, by one to no object: a server that accepts it answers 404."""
    name, where = "store.presign", link.partition("?")[0]
    try:
        urlopen(link, timeout=LINK_TIMEOUT_S, context=_trusting(ca_bundle)).close()  # noqa: S310 - the store's own link
        status = HTTPStatus.OK.value
    except HTTPError as err:
        with err:
            status = err.code
    except OSError as err:
        advice = "links are made for REELMILL_S3_ENDPOINT: name the server there as readers reach it"
        return Finding(name=name, level=Severity.WARN, found=f"{where} does not answer: {err}", advice=advice)
    if status == HTTPStatus.NOT_FOUND:
        return Finding(name=name, level=Severity.OK, found="the server accepts presigned links")
    advice = "check the clock, REELMILL_S3_REGION, and that the key may list the bucket; a proxy may change the Host"
    return Finding(name=name, level=Severity.WARN, found=f"a presigned link was answered with {status}", advice=advice)


def _trusting(ca_bundle: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_bundle or None)


def store_finding(settings: Settings) -> Finding:
    """Try the clip store. A folder that the farm would make at its first clip is not made here."""
    folder = settings.clips_folder
    if not settings.store_url and not folder.exists():
        return Finding(
            name="store", level=Severity.OK, found=f"clips will go to the folder {folder}, which is not made yet"
        )
    try:
        report = open_store(settings).check()
    except ReelmillError as err:
        return Finding.from_error("store", err)
    mode = f", checksum mode {report.checksum_mode}" if report.checksum_mode else ""
    once = (
        ""
        if report.conditional_put
        else "; it accepts no conditional put, so only the ledger prevents a clip from being stored twice"
    )
    return Finding(name="store", level=Severity.OK, found=f"{report.url} takes and gives back{mode}{once}")


def disk_finding(settings: Settings) -> Finding:
    """Check whether the spool of finished clips fits on the disk of the state folder."""
    folder = _nearest(settings.state_dir)
    free_mb = shutil.disk_usage(folder).free / 1e6
    short = free_mb < settings.spool_mb
    return Finding(
        name="disk",
        level=Severity.WARN if short else Severity.OK,
        found=f"{free_mb:.0f} MB free in {folder}; clips that wait for the store may take {settings.spool_mb} MB",
        advice="free space, set REELMILL_STATE_DIR to a larger disk, or lower REELMILL_SPOOL_MB" if short else "",
    )


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return folder if folder.is_dir() else _nearest(folder.parent)
