"""Cron expressions in a time zone, with the rules of Debian's cron at both changes of the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from reelmill_common.calendar.windows import zone_of
from reelmill_common.errors import InvalidJob

_EXAMPLE = "for example '0 22 * * *' (every day at 22:00) or '30 6 * * mon-fri'"
_PROBE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """When something is to run: five fields (minute, hour, day, month, weekday), or six with seconds first.

    At a fixed time that the clock leaves out it runs right after the change, and at one that the clock shows twice it
    runs once. With `*` as hour or minute it runs whenever the clock shows a fitting time.
    """

    expression: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, expression: str, zone: str) -> Cron:
        """Read an expression and the name of a zone.

        Raises:
            InvalidJob: One of them cannot be read, or no day ever fits.
        """
        cron = cls(expression=" ".join(expression.split()), zone=zone_of(zone))
        try:
            next(CronSim(cron.expression, _PROBE))
        except CronSimError as err:
            raise InvalidJob(
                f"cron expression {expression[:60]!r} cannot be read ({err}); use five fields: minute hour day month "
                f"weekday, {_EXAMPLE}"
            ) from err
        except StopIteration:
            raise InvalidJob(
                f"cron expression {expression[:60]!r} never comes true within 50 years; {_EXAMPLE}"
            ) from None
        return cron

    def next_after(self, when: datetime) -> datetime:
        """Return the first run after a time, in UTC.

        Raises:
            InvalidJob: There is none within 50 years.
        """
        for run in CronSim(self.expression, when.astimezone(self.zone)):
            # Begun in an hour that the clock shows for the second time, the first answers are of the first time.
            if run.astimezone(UTC) > when:
                return run.astimezone(UTC)
        raise InvalidJob(f"cron expression {self.expression!r} has no run after {when:%Y-%m-%d}; {_EXAMPLE}")

    def last_until(self, first: datetime, when: datetime) -> datetime:
        """Return the last run that is not after a time, where `first` is a run that is not after it."""
        last = first
        while (following := self.next_after(last)) <= when:
            last = following
        return last
