"""Which cells there are, and which of them a batch belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from reelmill_common.config.setting_values import named_urls
from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings

PLACE = "{cell}"
"""What stands in `store_url` for the name of a cell."""


def homes(names: Sequence[str], batch: str) -> list[str]:
    """Return the cells that a batch may be in: its cell when there was one, two … cells; its present one is the last.

    New cells are listed last, so the earlier ones were chosen among the beginnings of the list.
    """

    def score(name: str) -> bytes:
        return hashlib.sha256(f"{name}\0{batch}".encode()).digest()

    return list(dict.fromkeys(max(names[:count], key=score) for count in range(1, len(names) + 1)))


def names_of(settings: Settings) -> list[str]:
    """Return the cells that are asked: all, or the one that `cell` names.

    Raises:
        InvalidSettings: There are no cells, or none of that name.
    """
    names = list(named_urls(settings.cells)) if settings.cells else []
    if not names:
        raise InvalidSettings("REELMILL_CELLS is not set; set it to a=redis://host-a:6379/0,b=redis://host-b:6379/0")
    if settings.cell and settings.cell not in names:
        raise InvalidSettings(f"REELMILL_CELL: there is no cell {settings.cell!r}; there are {', '.join(names)}")
    return [settings.cell] if settings.cell else names


def of_cell(settings: Settings, name: str) -> Settings:
    """Return the settings of one cell's farm."""
    store = settings.store_url.replace(PLACE, name)
    return replace(settings, redis_url=named_urls(settings.cells)[name], store_url=store, cells="", cell="")


def sole(settings: Settings) -> Settings:
    """Return the settings of the only cell, or of the one that `cell` names.

    Raises:
        InvalidSettings: There are several, and none is named.
    """
    names = names_of(settings)
    if len(names) > 1:
        raise InvalidSettings(f"this command asks one cell; set REELMILL_CELL to one of {', '.join(names)}")
    return of_cell(settings, names[0])


def served(settings: Settings) -> Settings:
    """Return the settings of the farm that a console, Flower or metrics serve: that of `redis_url`, or one cell.

    Raises:
        InvalidSettings: There are several cells, and nothing says which is meant.
    """
    if not settings.cells:
        return settings
    return replace(settings, cells="") if settings.redis_url and not settings.cell else sole(settings)
