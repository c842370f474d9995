"""Settings: one object, read once from the environment in an entry point, then passed down as an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from reelmill_common.config.setting_names import PREFIX, unknown_variable
from reelmill_common.config.setting_values import (
    PARSERS,
    SECRET,
    Addressing,
    Ahead,
    ChecksumMode,
    EmbeddingCache,
    Encryption,
    FlowerPrompts,
    KeepLogs,
    LogFormat,
    MetricsScope,
    NotifyScheme,
    Numa,
    Preview,
    Reports,
    ReuseIndex,
)
from reelmill_common.errors import InvalidSettings


def _state_folder() -> Path:
    try:
        return Path("~/.local/state/reelmill").expanduser()
    except RuntimeError:  # a container's user without a name
        return Path(".reelmill").absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, with its environment variable `REELMILL_<NAME>`. This docstring is the manual.

    Attributes:
        redis_url: `redis://:password@host:6379/0` or `rediss://…` for TLS, which verifies the server's certificate
            (`?ssl_ca_certs=FILE`: by an authority of your own; `redis_address` has all options). Empty: an embedded
            Valkey in `state_dir`.
        store_url: `s3://bucket/prefix` or `file:///folder`. Empty: the folder `clips` in `state_dir`.
        farm: Name of the farm: the prefix of its keys and queues, so that several can share one Redis.
        state_dir: Where the embedded server, its password, made models and the spool live. Default:
            `~/.local/state/reelmill`, or `.reelmill` in the current folder for a user without a home.
        profile: Model profile that a worker serves, and a job's default. Empty: `tiny` on the embedded farm without
            a GPU, else `fastwan-qad-fp8`.
        model_dir: Folder of the model in the diffusers layout. Empty: `models/<profile>` in `state_dir`.
        renderer: `model`, or `fixed:SECONDS` for a test card after that time: measures the farm, makes no clips. For
            the fault matrix it also is the fault: `fixed:SECONDS:broken` fails every job, and a prompt with `[kill]`
            kills the process.
        lease_s: Seconds that a worker may be silent before its job is given to another, 2 to 600.
        tick_s: Seconds between a worker's housekeeping rounds (pump, reap, beat), 0.1 to 30.
        dispatch_depth: Jobs kept in the broker per live worker, 1 to 10.
        max_deliveries: Clips that may be rendered and not yet stored, 1 to 8: with 3 two are muxed and uploaded while
            the next one renders, with 1 the GPU waits for each.
        spool_mb: Disk that finished but not yet stored clips may take before claiming stops, in MB.
        reuse_index: Whether a worker's clips can answer equal jobs (`--reuse`): `on` or `off`. Each different clip
            takes about 95 bytes of Redis for it (Valkey 9.1, 10,000 clips, `benchmarks/ledger.py`).
        max_attempts: Attempts at one job before it counts as failed, 1 to 20; `faults` has the tries by class of error.
        forgive_after_s: Seconds after which a worker that was quarantined for failed jobs may pass its gate again;
            0: only after `reelmill forgive`.
        stall_floor_s: Seconds without progress in a stage after which the process that renders is killed; ten times the
            stage's running mean if that is more.
        worker_window: Hours in which the worker may render, such as `22:00-07:00 Europe/Vienna` (`nights.windows`);
            outside of them it rests with its model loaded. Empty: always.
        worker_labels: Names parted by commas, such as `studio,fast`, by which jobs may ask for this host's workers
            (`--class`), beside the classes that a worker has by its GPU (`worker_classes`).
        numa: `auto` runs each worker on the CPUs near its GPU, on hosts with several memory nodes; `off` leaves that to
            the kernel.
        embedding_cache: Where workers share text embeddings: `off`, `redis` (beside the ledger) or `store` (beside the
            clips). Equal prompts are then encoded once by the whole farm, as long as they are kept.
        embedding_cache_mb: Memory of Redis that shared embeddings may take, in MB; one takes about 0.7.
        ahead: Whether the next job's text is encoded while a clip renders: `auto` (on a GPU), `on` or `off`.
        clip_soft_limit_s: Seconds after which a render is interrupted (the model stays loaded).
        clip_hard_limit_s: Seconds after which the process that renders is killed.
        video_codec: PyAV encoder: libx264, libx265, libsvtav1, h264_nvenc or hevc_nvenc; `auto` is h264_nvenc where
            the GPU has it, else libx264.
        video_preset: The encoder's preset.
        video_crf: The encoder's constant rate factor, 0 (lossless) to 51.
        video_threads: Encoder threads a clip; 0 is the host's cores shared out among its workers, 2 to 16.
        preview: `webp` also stores a small moving picture of each clip; `off` does not.
        s3_endpoint: `https://host:port` of an S3-compatible server. Empty: what boto3's chain says
            (`AWS_ENDPOINT_URL_S3`, a profile), else AWS.
        s3_region: Region to sign for. Empty: `AWS_REGION`, what boto3's chain says, else `us-east-1`.
        s3_addressing: Where a request names the bucket: `path`, `virtual` (in the host), or `auto`: in the path,
            except on AWS.
        s3_sse: Encryption to ask for with each put, where a bucket demands it: `AES256`, `aws:kms` or
            `aws:kms:dsse`. Empty: what the bucket does by itself.
        s3_sse_kms_id: Id of the KMS key for it, which alone means `aws:kms`. Empty: the bucket's, or the account's.
        s3_checksum: `auto` tries both of boto3's modes at start and keeps the one that the server takes.
        s3_parts_above_mb: Objects above this many MiB go up in parts, 5 (S3's least) to 5000.
        s3_ca_bundle: PEM file of a private certificate authority.
        report: Whether a contact sheet is written into the store when a batch ends: `auto` or `off`.
        gpu_hour_price: What an hour of a GPU costs, for reports and accounts. 0: costs are not told.
        kwh_price: What a kilowatt-hour of the cards costs, where it is not part of that price. 0: it is not told.
        currency: Of both prices, as it shall be shown.
        presign_s: Seconds that a presigned link is valid, 60 to 604800.
        prune_days: Days after which a batch that has ended is archived into the clip store and forgotten, and a silent
            worker forgotten. 0: never. Off by default: a forgotten file that is submitted again is rendered again.
        metrics_port: Port of a worker's figures for Prometheus; worker i of a host takes this + i. 0: no figures.
        metrics_host: Address to bind it to. Beyond this host others see the figures: set `metrics_token` too.
        metrics_token: What a scrape must bring as `Authorization: Bearer …`; also asked by `reelmill metrics`. Empty:
            anybody who reaches the port may read.
        metrics_scope: `worker`, or `farm` to serve the farm's figures on the worker's port as well.
        notify_scheme: `https`, or `http` to let webhooks use plain HTTP as well.
        notify_allow: Hosts, addresses and networks off the public internet that webhooks may reach all the same,
            parted by commas: `hooks.lan,10.1.0.0/16`.
        smtp_url: Mail server for webhooks of the kind `email`: `smtp://user:password@host:587` (STARTTLS),
            `smtps://…:465` (TLS), or `smtp+plain://host:25` for a relay on this host.
        smtp_from: Sender of these mails.
        flower_prompts: What messages, and so Flower, Celery's events and the broker, show of prompts: `cut` is the
            first 80 characters, `hide` nothing. Whoever sends a message decides: set it on all hosts alike.
        keep_logs: Attempts whose last log lines are stored under `logs/` beside the clips: `failed`, `all` or `off`.
            Nothing removes them: let the bucket do that, by a rule for that prefix.
        log_level: debug, info, warning or error.
        log_format: `auto` is JSON unless stderr is a terminal.
    """

    redis_url: str = field(default="", repr=False)
    store_url: str = ""
    farm: str = "main"
    state_dir: Path = field(default_factory=_state_folder)
    profile: str = ""
    model_dir: str = ""
    renderer: str = "model"
    lease_s: float = 15.0
    tick_s: float = 1.0
    dispatch_depth: int = 2
    max_deliveries: int = 3
    spool_mb: int = 2048
    reuse_index: ReuseIndex = "on"
    max_attempts: int = 3
    forgive_after_s: float = 1800.0
    stall_floor_s: float = 30.0
    worker_window: str = ""
    worker_labels: str = ""
    numa: Numa = "auto"
    embedding_cache: EmbeddingCache = "off"
    embedding_cache_mb: int = 256
    ahead: Ahead = "auto"
    clip_soft_limit_s: int = 600
    clip_hard_limit_s: int = 900
    video_codec: str = "libx264"
    video_preset: str = "veryfast"
    video_crf: int = 18
    video_threads: int = 0
    preview: Preview = "off"
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_addressing: Addressing = "auto"
    s3_sse: Encryption = ""
    s3_sse_kms_id: str = ""
    s3_checksum: ChecksumMode = "auto"
    s3_parts_above_mb: int = 64
    s3_ca_bundle: str = ""
    report: Reports = "auto"
    gpu_hour_price: float = 0.0
    kwh_price: float = 0.0
    currency: str = "USD"
    presign_s: int = 86_400
    prune_days: int = 0
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    metrics_token: str = field(default="", repr=False)
    metrics_scope: MetricsScope = "worker"
    notify_scheme: NotifyScheme = "https"
    notify_allow: str = ""
    smtp_url: str = field(default="", repr=False)
    smtp_from: str = ""
    flower_prompts: FlowerPrompts = "cut"
    keep_logs: KeepLogs = "failed"
    log_level: str = "info"
    log_format: LogFormat = "auto"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read every `REELMILL_*` variable of a mapping (the process environment, or a dict in a test).

        Raises:
            InvalidSettings: One message that lists every unknown or wrong variable.
        """
        names = {PREFIX + item.name.upper(): item.name for item in fields(cls)}
        wrong: list[str] = []
        values: dict[str, Any] = {}
        for variable, text in env.items():
            if variable not in names:
                wrong += unknown_variable(variable, names)
                continue
            name = names[variable]
            if text == "":
                continue
            try:
                values[name] = PARSERS.get(name, str)(text)
            except ValueError as err:
                shown = "its value" if name in SECRET else repr(text)
                wrong.append(f"{variable}: {shown} {err}")
        if wrong:
            raise InvalidSettings("; ".join(wrong))
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """Return the variables that make `from_env` build these settings again, for a child process."""
        return {PREFIX + item.name.upper(): str(getattr(self, item.name)) for item in fields(self)}

    def model_folder(self, profile: str) -> Path:
        """Return where a profile's model is: `model_dir` if that is set, else its place in `state_dir`."""
        return Path(self.model_dir) if self.model_dir else self.state_dir / "models" / profile

    @property
    def clips_folder(self) -> Path:
        """Where clips go while no store is set."""
        return self.state_dir / "clips"

    @property
    def embedded(self) -> bool:
        """Whether the farm runs on the embedded server."""
        return not self.redis_url
