"""Settings: one object, read once from the environment in an entry point, then passed down as an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from reelmill_common.config import setting_values as read
from reelmill_common.config.setting_names import PREFIX, unknown_variable
from reelmill_common.errors import InvalidSettings
from reelmill_common.profiles import PROFILES

T = TypeVar("T")
Reader = Literal["producers and workers", "workers", "the console"]


def _about(parse: read.Parser | None = None, reader: Reader = "producers and workers", *, secret: bool = False) -> Any:
    return {"parse": parse, "reader": reader, "secret": secret}


def setting(default: T, parse: read.Parser | None = None, *, secret: bool = False) -> T:
    """Declare a setting that producers and workers read. The string below it says what it means.

    Args:
        default: Its value while its variable is unset or empty.
        parse: Reads the variable's text; None: as the field's type says.
        secret: Whether it holds a secret, or may have one pasted into it: no message and no `repr` shows its value.
    """
    return field(default=default, repr=not secret, metadata=_about(parse, secret=secret))


def worker_setting(default: T, parse: read.Parser | None = None, *, secret: bool = False) -> T:
    """Declare a setting that only workers read; otherwise like `setting`."""
    return field(default=default, repr=not secret, metadata=_about(parse, "workers", secret=secret))


def console_setting(default: T, parse: read.Parser | None = None) -> T:
    """Declare a setting that only the console, `reelmill serve`, reads; otherwise like `setting`."""
    return field(default=default, metadata=_about(parse, "the console"))


def _state_folder() -> Path:
    try:
        return Path("~/.local/state/reelmill").expanduser()
    except RuntimeError:  # a container's user without a name
        return Path(".reelmill").absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, each by its environment variable `REELMILL_<NAME>`.

    docs/reference/settings.md is made from the fields and the strings below them.
    """

    redis_url: str = setting("", read.redis_url, secret=True)
    """`redis://:password@host:6379/0`, or `rediss://…` for TLS, which verifies the server's certificate
    (`?ssl_ca_certs=FILE` adds your own authority; `config/redis_address.py` has all options). With Sentinels
    `redis+sentinel://:password@host1:26379,host2:26379/service/0?sentinel_password=…`, or `rediss+sentinel://…`. Empty:
    an embedded Valkey in `state_dir`."""
    confirm_replicas: int = setting(0, read.Number(int, 0, 10))
    """Replicas of Redis that must have a submission before it counts as made: a fail-over to one of them then forgets
    none of it. 0: those of the primary's last second may be forgotten."""
    store_url: str = setting("", read.store_url, secret=True)
    """`s3://bucket/prefix` or `file:///folder`. Empty: the folder `clips` in `state_dir`."""
    cells: str = setting("", read.cells, secret=True)
    """Cells that a producer submits to and asks, each a farm on its own Redis: `a=redis://…,b=redis://…`, new ones at
    the end. `{cell}` in `store_url` is the cell's name. Workers ignore it: they serve the cell of their `redis_url`."""
    cell: str = setting("")
    """The one of `cells` that a command asks. Empty: the one that has the batch."""
    farm: str = setting("main", read.farm_name)
    """Name of the farm: the prefix of its keys and queues, so that several farms can share one Redis."""
    state_dir: Path = field(default_factory=_state_folder, metadata=_about())
    """Folder of the embedded server, its password, prepared models and the spool. Default: `~/.local/state/reelmill`,
    or `.reelmill` in the current folder for a user without a home."""
    profile: str = setting("", read.Choice(PROFILES))
    """Model profile that a worker serves, and a job's default. Empty: `tiny` on the embedded farm without a GPU, else
    `fastwan-qad-fp8`."""
    model_dir: str = setting("")
    """Folder of the model in the diffusers layout. Empty: `models/<profile>` in `state_dir`."""
    renderer: str = setting("model", read.renderer)
    """`model`, or `fixed:SECONDS` for a test card after that time, which measures the farm and makes no clips. For the
    fault matrix `fixed:SECONDS:broken` fails every job, and a prompt with `[kill]` kills the process."""
    lease_s: float = worker_setting(15.0, read.Number(float, 2, 600))
    """Time that a worker may be silent before its job is given to another."""
    tick_s: float = worker_setting(1.0, read.Number(float, 0.1, 30))
    """Time between a worker's housekeeping rounds (pump, reap, beat)."""
    dispatch_depth: int = setting(2, read.Number(int, 1, 10))
    """Jobs kept in the broker per live worker."""
    max_deliveries: int = worker_setting(3, read.Number(int, 1, 8))
    """Clips that may be rendered and not yet stored: with 3, two are muxed and uploaded while the next one renders;
    with 1, the GPU waits for each."""
    spool_mb: int = setting(2048, read.Number(int, 1, 1_000_000))
    """Disk that rendered but not yet stored clips may take before a worker stops claiming."""
    reuse_index: Literal["on", "off"] = worker_setting("on")
    """Whether a worker's clips can answer equal jobs (`--reuse`). Each different clip takes about 95 bytes of Redis for
    it (Valkey 9.1, 10,000 clips, `benchmarks/ledger.py`)."""
    max_attempts: int = worker_setting(3, read.Number(int, 1, 20))
    """Attempts at one job before it counts as failed; `ledger/retry_rules.py` has the retries by error code."""
    forgive_after_s: float = worker_setting(1800.0, read.Number(float, 0, 604_800))
    """Time after which a worker that was quarantined for failed jobs may try its gate again; 0: only after
    `reelmill forgive`."""
    forget_after_s: int = worker_setting(3600, read.Number(int, 0, 31_536_000))
    """Time after which a worker that fell silent is forgotten, as one that ended in order is at once; 0: never. One
    that is paused or under quarantine is kept until `reelmill forget`."""
    drain_s: float = worker_setting(0.0, read.Number(float, 0, 86_400))
    """Time within which a worker ends after SIGTERM, where its machine is taken away (spot): a notice of 30 to 120 s,
    less five. A clip that will not be stored by then is given back at once. 0: clips in hand are finished first."""
    stall_floor_s: float = worker_setting(30.0, read.Number(float, 1, 3600))
    """Time without progress in a stage after which the process that renders is killed, or ten times the stage's running
    mean if that is longer."""
    worker_window: str = worker_setting("", read.window)
    """Hours in which the worker may render, such as `22:00-07:00 Europe/Vienna` (`calendar/windows.py`); outside them
    it rests with its model loaded. Empty: always."""
    worker_labels: str = worker_setting("", read.labels)
    """Comma-separated names, such as `studio,fast`, by which jobs may ask for this host's workers (`--class`), beside
    the classes that a worker has by its GPU (`worker_classes.py`)."""
    embedding_cache: Literal["off", "redis", "store"] = worker_setting("off")
    """Where workers share text embeddings: `redis` (beside the ledger) or `store` (beside the clips). Equal prompts are
    then encoded once by the whole farm, as long as their embeddings are kept. Workers leave the cache in Redis alone
    while they would take more than 50 MB a second from it; each takes up to two connections more for it."""
    embedding_cache_mb: int = worker_setting(256, read.Number(int, 1, 100_000))
    """Memory of Redis that shared embeddings may take; one takes about 0.7 MB."""
    ahead: Literal["auto", "on", "off"] = worker_setting("auto")
    """Whether the next job's text is encoded while a clip renders; `auto`: on a GPU."""
    clip_soft_limit_s: int = worker_setting(600, read.Number(int, 1, 86_400))
    """Time after which a render is interrupted; the model stays loaded."""
    clip_hard_limit_s: int = worker_setting(900, read.Number(int, 1, 86_400))
    """Time after which the process that renders is killed."""
    video_codec: str = worker_setting(
        "libx264", read.Choice(("auto", "libx264", "libx265", "libsvtav1", "h264_nvenc", "hevc_nvenc"))
    )
    """PyAV encoder; `auto` is h264_nvenc where the GPU has it, else libx264."""
    video_preset: str = worker_setting("veryfast")
    """The encoder's preset."""
    video_crf: int = worker_setting(18, read.Number(int, 0, 51))
    """The encoder's constant rate factor; 0 is lossless."""
    video_threads: int = worker_setting(0, read.Number(int, 0, 64))
    """Encoder threads per clip; 0 divides the host's cores among its workers, 2 to 16 each."""
    preview: Literal["off", "webp"] = worker_setting("off")
    """`webp` also stores a small moving picture of each clip."""
    s3_endpoint: str = setting("", read.s3_endpoint, secret=True)
    """`https://host:port` of an S3-compatible server. Empty: what boto3's chain says (`AWS_ENDPOINT_URL_S3`, a
    profile), else AWS."""
    s3_region: str = setting("")
    """Region to sign for. Empty: `AWS_REGION`, what boto3's chain says, else `us-east-1`."""
    s3_addressing: read.Addressing = setting("auto")
    """Where a request names the bucket: `path`, `virtual` (in the host), or `auto`: in the path, except on AWS."""
    s3_sse: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = setting("")
    """Encryption to ask for with each put, where a bucket demands it. Empty: what the bucket does by itself."""
    s3_sse_kms_id: str = setting("")
    """Id of the KMS key for `s3_sse`; set alone it means `aws:kms`. Empty: the bucket's key, or the account's."""
    s3_checksum: Literal["auto", "when_supported", "when_required"] = setting("auto")
    """boto3's checksum mode; `auto` tries both at start and keeps the one that the server takes."""
    s3_parts_above_mb: int = setting(64, read.Number(int, 5, 5000))
    """Objects above this size are uploaded in parts; 5 MiB is S3's minimum."""
    s3_ca_bundle: str = setting("")
    """PEM file of a private certificate authority."""
    provenance: Literal["prefer", "require", "off"] = setting("prefer")
    """What a worker does about the signed mark of a clip (docs/marking.md): `prefer` signs where a certificate is set,
    and stores a clip that cannot be signed with its plain marks; `require` stores no clip unsigned; `off` neither signs
    nor takes fingerprints."""
    provenance_certificate: str = setting("", read.file)
    """PEM file of the certificate that clips are signed with, and of those between it and its authority's. Empty: clips
    are not signed. `reelmill provenance init` makes one for trials."""
    provenance_key: str = worker_setting("", read.file)
    """PEM file of that certificate's private key, without a password and readable by the worker only."""
    provenance_signer: str = worker_setting("", read.function)
    """`module:function` that signs instead of a key file, for a key in an HSM or a KMS: it takes the bytes and returns
    their raw signature (docs/marking.md)."""
    provenance_timestamp: str = worker_setting("", read.link)
    """URL of an RFC 3161 time-stamp authority. Empty: signatures bear no time that others vouch for."""
    provenance_timestamp_policy: Literal["prefer", "require"] = worker_setting("prefer")
    """What happens when the authority does not answer: `prefer` signs without its stamp, `require` counts it as a
    failure to sign."""
    provenance_prompt: Literal["show", "hash", "omit"] = worker_setting("show")
    """What a clip's file says of its prompt, in its tags and in its signed manifest: the prompt, its SHA-256, or
    nothing. The `.json` beside it in the store has the prompt."""
    provenance_trust: str = setting("", read.file)
    """PEM file of the authorities that `reelmill verify` trusts, as a C2PA trust list has them. Empty: none."""
    report: Literal["auto", "off"] = worker_setting("auto")
    """`auto` writes a contact sheet into the store when a batch ends."""
    record: Literal["auto", "off"] = worker_setting("auto")
    """`auto` keeps a copy of schedules, tokens and owners in the store, and an archive of each batch that ended ten
    minutes ago: what `reelmill restore` brings back."""
    gpu_hour_price: float = setting(0.0, read.Number(float, 0, 100_000))
    """Price of a GPU hour, for reports and accounts; 0: costs are not shown."""
    kwh_price: float = setting(0.0, read.Number(float, 0, 100_000))
    """Price of a kilowatt-hour of the GPUs, where `gpu_hour_price` does not include it; 0: it is not shown."""
    currency: str = setting("USD", read.currency)
    """Currency of both prices, as it is shown."""
    presign_s: int = setting(86_400, read.Number(int, 60, 604_800))
    """Time that a presigned link is valid."""
    prune_hours: int = setting(720, read.Number(int, 0, 87_600))
    """Time after which a batch that has ended is archived into the clip store and forgotten; 0: never. While Redis uses
    more than 60 % of `maxmemory` those that ended longest ago go before their time, but none within 10 minutes of its
    end. A forgotten file that is submitted again is rendered again."""
    metrics_port: int = worker_setting(0, read.Number(int, 0, 65_535))
    """Port of a worker's metrics for Prometheus; worker i of a host takes this + i. 0: no metrics."""
    metrics_host: str = worker_setting("127.0.0.1")
    """Address that the metrics port is bound to. Other hosts can read an address beyond this host: set `metrics_token`
    too."""
    metrics_token: str = setting("", read.bearer_token, secret=True)
    """Token that a scrape must bring as `Authorization: Bearer …`, also to `reelmill metrics`. Empty: anyone who
    reaches the port may read."""
    metrics_scope: Literal["worker", "farm"] = worker_setting("worker")
    """`farm` serves the farm's metrics on the worker's port as well."""
    autoscale_min: int = setting(0, read.Number(int, 0, 100_000))
    """Fewest workers that a profile wants, whatever there is to do (`reelmill_workers_wanted`, docs/autoscaling.md)."""
    autoscale_max: int = setting(0, read.Number(int, 0, 100_000))
    """Most workers that a lane wants; 0: no limit."""
    autoscale_target_s: float = setting(3600.0, read.Number(float, 60, 2_592_000))
    """Time within which the workers that are wanted do what has no deadline, from when it may run."""
    autoscale_lead_s: float = setting(300.0, read.Number(float, 0, 7200))
    """Time from the wish for a worker to its first clip: the machine starts, the model is loaded. A batch whose window
    opens within it counts already."""
    autoscale_hold_s: float = setting(600.0, read.Number(float, 0, 86_400))
    """Time for which a number of workers that was wanted is held before fewer are."""
    notify_scheme: Literal["https", "http"] = setting("https")
    """`http` lets webhooks use plain HTTP as well."""
    notify_allow: str = setting("", read.egress_hosts)
    """Comma-separated hosts, addresses and networks off the public internet that webhooks may reach all the same, such
    as `hooks.lan,10.1.0.0/16`."""
    smtp_url: str = setting("", read.mail_server, secret=True)
    """Mail server for webhooks of the kind `email`: `smtp://user:password@host:587` (STARTTLS), `smtps://…:465` (TLS),
    or `smtp+plain://host:25` for a relay on this host."""
    smtp_from: str = setting("", read.mail_address)
    """Sender of these mails."""
    console_address: str = console_setting("127.0.0.1")
    """Address that `reelmill serve` listens on, and `reelmill up` for its console. Beyond this host put a reverse proxy
    with TLS before it."""
    console_port: int = console_setting(7335, read.Number(int, 0, 65_535))
    """Port of the console; 0: any that is free, which is printed."""
    console_root_path: str = console_setting("", read.root_path)
    """Path under which a reverse proxy shows the console, such as `/farm`; the proxy may strip it or not."""
    console_hosts: str = console_setting("", read.host_names)
    """Comma-separated names by which the console is reached, such as `farm.example.org`; a request for another host is
    refused. Empty: on a loopback address `localhost` and loopback addresses, else any."""
    console_proxies: str = console_setting("127.0.0.1", read.addresses)
    """Comma-separated addresses and networks of reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are
    believed."""
    console_body_mb: int = console_setting(256, read.Number(int, 1, 100_000))
    """Largest prompt file that the console takes; other bodies may have 16 MB at most."""
    console_body_timeout_s: float = console_setting(20.0, read.Number(float, 0.5, 600))
    """Time that a client may need for the head of a request, and between two pieces of its body."""
    console_rate: int = console_setting(50, read.Number(int, 0, 100_000))
    """Requests a second that a token, or an address without one, may make in the long run; ten seconds' worth may come
    at once. 0: any number."""
    console_followers: int = console_setting(5000, read.Number(int, 1, 100_000))
    """Streams of events that one console serves at once."""
    flower_url: str = console_setting("", read.link)
    """URL of Flower, to which the console links. Empty: no link."""
    grafana_url: str = console_setting("", read.link)
    """URL of Grafana, likewise."""
    flower_prompts: read.FlowerPrompts = setting("cut")
    """What messages, and so Flower, Celery's events and the broker, show of prompts: `cut` is the first 80 characters,
    `hide` nothing. The host that sends a message decides: set it on all hosts alike."""
    keep_logs: read.KeepLogs = worker_setting("failed")
    """Attempts whose last log lines are stored under `logs/` beside the clips. Reelmill never removes them: give the
    bucket a rule for that prefix."""
    log_level: str = worker_setting("info", read.Choice(("debug", "info", "warning", "error")))
    """Least severity of a worker's log lines."""
    log_format: read.LogFormat = worker_setting("auto")
    """Form of a worker's log lines; `auto` is JSON unless stderr is a terminal."""

    @classmethod
    def parsers(cls) -> dict[str, read.Parser]:
        """Return what reads each setting's text, by the setting's name."""
        kinds = get_type_hints(cls)
        return {item.name: item.metadata["parse"] or read.of_type(kinds[item.name]) for item in fields(cls)}

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read every `REELMILL_*` variable of a mapping (the process environment, or a dict in a test).

        Raises:
            InvalidSettings: One message that lists every unknown or wrong variable.
        """
        parsers = cls.parsers()
        secrets = {item.name for item in fields(cls) if item.metadata["secret"]}
        names = {PREFIX + name.upper(): name for name in parsers}
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
                values[name] = parsers[name](text)
            except ValueError as err:
                shown = "its value" if name in secrets else repr(text)
                wrong.append(f"{variable}: {shown} {err}")
        if wrong:
            raise InvalidSettings("; ".join(wrong))
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """Return the variables that make `from_env` build these settings again, for a child process."""
        return {PREFIX + item.name.upper(): str(getattr(self, item.name)) for item in fields(self)}

    def model_folder(self, profile: str) -> Path:
        """Return the folder of a profile's model: `model_dir` if that is set, else its place in `state_dir`."""
        return Path(self.model_dir) if self.model_dir else self.state_dir / "models" / profile

    @property
    def clips_folder(self) -> Path:
        """Folder that clips go to while no store is set."""
        return self.state_dir / "clips"

    @property
    def embedded(self) -> bool:
        """Whether the farm runs on the embedded server."""
        return not self.redis_url
