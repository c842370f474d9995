"""`Cells`: several farms, each on its own Redis, behind one submit. A batch is in one cell, chosen by its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import Self, TypeVar

from reelmill_common.errors import LedgerRefused, LedgerUnavailable, NotFound, ReelmillError
from reelmill_common.jobs import Batch, RenderSpec
from reelmill_common.ledger import Submitted
from reelmill_common.settings import Settings
from reelmill_producer.cells.placement import homes, names_of, of_cell
from reelmill_producer.client import Reelmill
from reelmill_producer.control import is_job_id, names_worker

T = TypeVar("T")


class Cells:
    """The cells of REELMILL_CELLS. Use as a context manager, or `close` it; safe to use from several threads.

        with Cells.from_env() as cells:
            cells.submit_many(["a fox in the snow"], batch="night-7")
            for event in cells.farm_of("night-7").watch("night-7"):
                print(event.name, event.job_id)

    A batch that is there stays where it is. The cell of a new one is chosen by rendezvous hashing: a cell that is added
    takes its share of new names, and no other name moves. A cell is connected to when it is first asked.

    Args:
        settings: With `cells`; `cell` limits them to one.

    Raises:
        InvalidSettings: There are no cells, or none of the name of `cell`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = {name: of_cell(settings, name) for name in names_of(settings)}
        self._farms: dict[str, Reelmill] = {}
        self._opening = {name: Lock() for name in self._settings}

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Cells:
        """Read the `REELMILL_*` variables of the process, or of a mapping.

        Raises:
            InvalidSettings: Lists every wrong variable.
        """
        return cls(Settings.from_env(os.environ if env is None else env))

    def close(self) -> None:
        """Close the connections to all cells."""
        for farm in self._farms.values():
            farm.close()
        self._farms.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def names(self) -> list[str]:
        """The cells, in the order of the setting."""
        return list(self._settings)

    def farm(self, name: str) -> Reelmill:
        """Return the farm of a cell.

        Raises:
            LedgerUnavailable: Its Redis does not answer.
            LedgerRefused: Its Redis refuses us.
        """
        with self._opening[name]:
            if name not in self._farms:
                self._farms[name] = Reelmill(self._settings[name])
            return self._farms[name]

    def ask(self, question: Callable[[Reelmill], T]) -> tuple[dict[str, T], dict[str, ReelmillError]]:
        """Ask all cells at once; return the answers and the errors of those that gave none, by cell."""

        def one(name: str) -> T | ReelmillError:
            try:
                return question(self.farm(name))
            except (LedgerUnavailable, LedgerRefused) as err:
                return err

        with ThreadPoolExecutor(len(self.names)) as pool:
            found = dict(zip(self.names, pool.map(one, self.names), strict=True))
        errors = {name: value for name, value in found.items() if isinstance(value, ReelmillError)}
        return {name: value for name, value in found.items() if not isinstance(value, ReelmillError)}, errors

    def cell_of(self, target: str) -> str:
        """Return the cell that has a target: a batch, a job (`BATCH/ROW` or its id), or a worker.

        Raises:
            NotFound: No cell has it.
            LedgerUnavailable: No cell that answers has it, and one that may have it does not answer.
        """
        found, errors = self._holder(lambda farm: _has(farm, target))
        if found is not None:
            return found
        if errors:
            raise LedgerUnavailable(f"no cell that answers has {target!r}; {said(errors)}")
        raise NotFound(f"no cell has {target!r}; the cells are {', '.join(self.names)}")

    def farm_of(self, target: str) -> Reelmill:
        """Return the farm of the cell that has a target. Raises what `cell_of` raises."""
        return self.farm(self.cell_of(target))

    def cell_for(self, batch: str) -> str:
        """Return the cell to submit a batch to: the one that has it, else the one that its name is hashed to.

        Raises:
            LedgerUnavailable: A cell that may have the batch, or is to get it, does not answer.
        """
        found, errors = self._holder(lambda farm: farm.has_batch(batch))
        if found is not None:
            return found
        possible = homes(self.names, batch)
        missing = {name: errors[name] for name in possible if name in errors}
        if missing:
            raise LedgerUnavailable(f"batch {batch!r} may be in a cell that does not answer: {said(missing)}")
        return possible[-1]

    def submit_many(self, rows: Iterable[RenderSpec | str | Mapping[str, object]], *, batch: Batch | str) -> Submitted:
        """Submit many jobs to the cell of their batch. As `Reelmill.submit_many`; raises what `cell_for` raises too."""
        name = batch if isinstance(batch, str) else batch.name
        return self.farm(self.cell_for(name)).submit_many(rows, batch=batch)

    def _holder(self, has: Callable[[Reelmill], bool]) -> tuple[str | None, dict[str, ReelmillError]]:
        """Return the first cell that has something, None if none that answers does; and the errors of the others."""
        answers, errors = self.ask(has)
        return next((name for name, found in answers.items() if found), None), errors


def said(errors: Mapping[str, ReelmillError]) -> str:
    """Return the errors of cells on one line."""
    return "; ".join(f"cell {name}: {err}" for name, err in errors.items())


def _has(farm: Reelmill, target: str) -> bool:
    try:
        if names_worker(target):
            farm.worker(target)
        elif is_job_id(target):
            farm.job(target)
        else:
            return farm.has_batch(target.partition("/")[0])
    except NotFound:
        return False
    return True
