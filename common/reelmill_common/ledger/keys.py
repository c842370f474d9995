"""Names of the ledger's keys, as Lua spells them (`lua/lib`): one prefix, one hash tag for each farm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that are read from Python; only Lua writes. `schema.py` documents all keys and their fields."""

    farm: str

    @property
    def prefix(self) -> str:
        """What every key of the farm starts with. The braces keep them on one node of a cluster."""
        return f"reelmill:{{{self.farm}}}:"

    @property
    def events(self) -> str:
        """Stream of everything that happened."""
        return f"{self.prefix}events"

    @property
    def stages(self) -> str:
        """Stream of the stages of all jobs, while they are watched."""
        return f"{self.prefix}stages"

    def batch_events(self, batch: str) -> str:
        """Stream of a batch's events and stages, while it is watched."""
        return f"{self.prefix}events:{batch}"

    @property
    def batches(self) -> str:
        """Sorted set of batch names by time of creation."""
        return f"{self.prefix}batches"

    @property
    def workers(self) -> str:
        """Set of the names of all workers."""
        return f"{self.prefix}workers"

    @property
    def beats(self) -> str:
        """Sorted set of the workers that live, by their last beat."""
        return f"{self.prefix}beats"

    @property
    def owners(self) -> str:
        """Set of the names of all owners."""
        return f"{self.prefix}owners"

    def owner(self, name: str) -> str:
        """Hash of an owner's share, cap and count in flight."""
        return f"{self.prefix}owner:{name}"

    def account(self, owner: str) -> str:
        """Hash of what an owner's clips cost, by UTC day."""
        return f"{self.prefix}account:{owner}"

    def made(self, part: str) -> str:
        """Hash of the ids of jobs that have a clip, by the rest of its spec's mark, which begins with `part`."""
        return f"{self.prefix}made:{part}"

    @property
    def leases(self) -> str:
        """Sorted set of the jobs under a lease by the time at which it runs out."""
        return f"{self.prefix}leases"

    def job(self, job_id: str) -> str:
        """Hash of a job's state."""
        return f"{self.prefix}job:{job_id}"

    def spec(self, job_id: str) -> str:
        """Canonical JSON of what to render."""
        return f"{self.prefix}spec:{job_id}"

    def meta(self, job_id: str) -> str:
        """JSON of what is known of a row beside its spec; absent if nothing is."""
        return f"{self.prefix}meta:{job_id}"

    def error(self, job_id: str) -> str:
        """JSON of the last failure."""
        return f"{self.prefix}error:{job_id}"

    def result(self, job_id: str) -> str:
        """JSON of what the attempt that won left behind."""
        return f"{self.prefix}result:{job_id}"

    def batch(self, name: str) -> str:
        """Hash of a batch's policy and counters."""
        return f"{self.prefix}batch:{name}"

    def order(self, name: str) -> str:
        """List of a batch's job ids in the order of submission."""
        return f"{self.prefix}order:{name}"

    def flight(self, name: str) -> str:
        """Set of a batch's jobs that are dispatched or running."""
        return f"{self.prefix}flight:{name}"

    def retry(self, name: str) -> str:
        """Sorted set of a batch's failed and cancelled jobs in the order of submission."""
        return f"{self.prefix}retry:{name}"

    @property
    def prior_attempts(self) -> str:
        """Hash of the most attempts that a job of a pruned batch had, by the batch's name."""
        return f"{self.prefix}worn"

    @property
    def schedule_names(self) -> str:
        """Set of the names of all schedules."""
        return f"{self.prefix}schedule_names"

    @property
    def schedules(self) -> str:
        """Sorted set of the schedules that are not paused, by their next run."""
        return f"{self.prefix}schedules"

    @property
    def runs(self) -> str:
        """Sorted set of the runs of schedules that are not submitted yet."""
        return f"{self.prefix}runs"

    def schedule(self, name: str) -> str:
        """Hash of a schedule."""
        return f"{self.prefix}schedule:{name}"

    def rows(self, rows: str) -> str:
        """List of the pieces of a schedule's rows."""
        return f"{self.prefix}rows:{rows}"

    def choices(self, batch: str) -> str:
        """Hash of what people said of a batch's clips, by job."""
        return f"{self.prefix}choices:{batch}"

    @property
    def token_names(self) -> str:
        """Hash of the digests of all tokens by their names."""
        return f"{self.prefix}token_names"

    def token(self, digest: str) -> str:
        """Hash of what a token allows, by the SHA-256 of its random part."""
        return f"{self.prefix}token:{digest}"
