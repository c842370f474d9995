"""A command's connection to its farm: a configured farm, the one that `reelmill up` runs here, or its own."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from reelmill_common.config.extras import require_extra
from reelmill_common.errors import InvalidJob, LedgerUnavailable
from reelmill_common.gpus import profile_here, require_profile
from reelmill_common.settings import Settings
from reelmill_producer.cells.farms import Cells
from reelmill_producer.cells.placement import of_cell, sole
from reelmill_producer.cli.console import inform
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded import farm as embedded
from reelmill_producer.embedded import state_file
from reelmill_producer.embedded.farm import EmbeddedFarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A farm, and the embedded farm behind it if there is one."""

    farm: Reelmill
    local: EmbeddedFarm | None

    def start_worker(self) -> None:
        """Start a worker if this command runs the embedded farm; elsewhere workers are not its concern."""
        if self.local is not None:
            self.local.start_worker()

    def check(self) -> None:
        """Check that a wait can end. Raises what `EmbeddedFarm.check` raises."""
        if self.local is not None:
            self.local.check()

    @property
    def coming(self) -> str:
        """The profile whose worker an embedded farm has started, registered or not; empty elsewhere."""
        return "" if self.local is None else self.local.settings.profile

    @property
    def idle(self) -> bool:
        """Whether nothing will be rendered after this command has ended, until a farm is started."""
        return self.local is not None and self.local.owned


def read_settings(profile: str = "") -> Settings:
    """Read the environment; the option takes precedence.

    Raises:
        InvalidSettings: A variable or the profile is wrong.
    """
    require_profile(profile)
    settings = Settings.from_env(os.environ)
    return replace(settings, profile=profile) if profile else settings


def default_profile(settings: Settings) -> str:
    """Return the profile of jobs that name none. It needs no connection, so that rows can be checked first."""
    record = None if settings.profile or not settings.embedded else state_file.running(settings.state_dir)
    return profile_here(settings) if record is None else record.profile


@contextmanager
def session(settings: Settings, *, renders: str = "") -> Generator[Session]:
    """Connect to the farm. An embedded farm that does not run is run until the end, at first without a worker.

    `renders` is the command, if it starts a worker on an embedded farm that does not run yet.

    Raises:
        InvalidSettings: The command would have to start a worker, and the worker extra is not installed.
        LedgerUnavailable: The farm cannot be reached.
        LedgerRefused: The farm refuses us.
    """
    settings = cell_settings(settings, [])
    if not settings.embedded:
        with Reelmill(settings) as farm:
            yield Session(farm=farm, local=None)
        return
    if renders and not state_file.is_held(settings.state_dir):
        require_extra("worker", renders)
    with embedded.joined(settings, os.environ, inform) as local, Reelmill(local.settings) as farm:
        yield Session(farm=farm, local=local)


def cell_settings(settings: Settings, targets: Sequence[str], *, new: bool = False) -> Settings:
    """Return the settings of the cell that has some targets; those that are given where there are no cells.

    Args:
        settings: As they were read.
        targets: Batches, jobs or workers; none: the one cell there is, or that REELMILL_CELL names.
        new: Whether they are batches to submit, which need not be there.

    Raises:
        InvalidSettings: Nothing says which cell is meant.
        NotFound: No cell has a target.
        InvalidJob: The targets are in different cells.
        LedgerUnavailable: The cell of a target does not answer.
    """
    if not settings.cells:
        return settings
    if not targets:
        return sole(settings)
    with Cells(settings) as cells:
        names = cells.names
        if len(names) > 1:
            names = list(dict.fromkeys((cells.cell_for if new else cells.cell_of)(target) for target in targets))
    if len(names) > 1:
        raise InvalidJob(f"the targets are in different cells ({', '.join(names)}); name those of one cell at a time")
    return of_cell(settings, names[0])


@contextmanager
def reading(*targets: str) -> Generator[Reelmill]:
    """Connect to a farm that exists, to ask or to steer it; where there are cells, to the one that has the targets.

    Raises:
        LedgerUnavailable: There is no such farm.
    """
    settings = cell_settings(read_settings(), targets)
    require_history(settings)
    with session(settings) as opened:
        yield opened.farm


def require_history(settings: Settings) -> None:
    """Refuse to ask an embedded farm that never ran.

    Raises:
        LedgerUnavailable: It never ran.
        LedgerRefused: No embedded farm can run on this system.
    """
    if settings.embedded:
        state_file.require_locks()
    if settings.embedded and not embedded.has_run(settings.state_dir):
        raise LedgerUnavailable(
            f"no farm has run in {settings.state_dir} yet; start one with `reelmill up`, or set REELMILL_REDIS_URL"
        )
