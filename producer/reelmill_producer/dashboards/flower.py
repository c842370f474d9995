"""The farm in Flower, Celery's dashboard: our columns and texts, bounded memory, and a required password.

Flower shows what Celery sees: workers, and messages, which here are hints. The ledger decides about jobs, so the
buttons that act on workers and tasks are off: workers refuse what they would do.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reelmill_common.config.extras import install_command
from reelmill_common.errors import InvalidSettings
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.server import PROMPT, address_of
from reelmill_common.settings import Settings
from reelmill_producer.cells.placement import served
from reelmill_producer.dashboards.flower_columns import COLUMNS, SHOWN, LedgerColumns, format_task
from reelmill_producer.dashboards.flower_logins import check_login, read_users, require_auth
from reelmill_producer.embedded import state_file

if TYPE_CHECKING:
    from flower.app import Flower

PORT = 5555


def flower(
    *,
    address: Annotated[str, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = "",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help=f"Port to listen on. Default: {PORT}.")] = None,
    users_file: Annotated[Path | None, typer.Option(help="File with one user:password a line.")] = None,
    conf: Annotated[Path | None, typer.Option(help="A flowerconfig.py, as for sign-in by OAuth.")] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="No password; only on a loopback address.")] = False,
) -> None:
    """Show the farm's workers and messages in a browser, until Ctrl-C.

    A password is required: FLOWER_BASIC_AUTH=user:password (more, separated by commas), --users-file, or a
    configuration file. Every option of Flower can be set as FLOWER_<NAME>; those above win. The newest 20,000
    finished tasks are kept over restarts. REELMILL_FLOWER_PROMPTS, where messages are sent, says how much of a
    prompt is shown. Needs the extra reelmill[flower].
    """
    settings = served(Settings.from_env(os.environ))
    if settings.embedded:
        settings = state_file.attached(settings)
    choices: dict[str, Any] = {"address": address, "port": port}
    if users_file is not None:
        choices["basic_auth"] = read_users(users_file)
    dashboard = make_dashboard(settings, choices, conf=conf, no_auth=no_auth)
    dashboard.start_http_server()
    typer.echo(f"Flower listens on {dashboard.options.address}:{dashboard.options.port}; Ctrl-C ends it", err=True)
    try:
        dashboard.start()
    except KeyboardInterrupt:
        pass
    finally:
        dashboard.stop()  # keeps the tasks for the next start


def make_dashboard(settings: Settings, choices: Mapping[str, Any], *, conf: Path | None, no_auth: bool) -> Flower:
    """Build Flower for a farm; nothing listens yet.

    Options come from `defaults`, the environment's FLOWER_*, the file `conf`, and `choices` (where None and "" mean
    unset); the later wins.

    Raises:
        InvalidSettings: Flower is not installed, the file is missing, or no login is required.
        LedgerUnavailable: Redis does not answer.
        LedgerRefused: Redis refuses the connection.
    """
    try:
        from flower.app import Flower  # noqa: PLC0415 - an extra that most hosts do not need
        from flower.command import apply_env_options, extract_settings  # noqa: PLC0415 - the same
        from flower.urls import settings as pages  # noqa: PLC0415 - the same
        from flower.views.tasks import TASK_COLUMNS  # noqa: PLC0415 - the same
        from tornado.options import options  # noqa: PLC0415 - the same

        from reelmill_producer.dashboards.flower_auth import LoginRequired, require_login  # noqa: PLC0415 - tornado
        from reelmill_producer.dashboards.flower_sentinel import follow_sentinels  # noqa: PLC0415 - the same
        from reelmill_producer.dashboards.flower_style import serve_style  # noqa: PLC0415 - the same
    except ImportError as err:
        raise InvalidSettings(f"Flower cannot be loaded ({err}); run {install_command('flower')}") from err
    # Checked first: Flower itself would start, and log the refusal every few seconds.
    ledger = Ledger.connect(settings, patience=PROMPT)
    ledger.check_rights()
    _set(options, defaults(settings))
    apply_env_options()
    if conf is not None:
        if not conf.is_file():
            raise InvalidSettings(f"--conf {conf} is not a file; name a flowerconfig.py, or leave it out")
        options.parse_config_file(str(conf), final=False)
    _set(options, {name: value for name, value in choices.items() if value not in (None, "")})
    require_auth(options.address, bool(options.basic_auth or options.auth), no_auth=no_auth)
    for user in options.basic_auth or ():
        check_login(user)
    _make_private(Path(options.db).parent)
    extract_settings()
    TASK_COLUMNS.update(COLUMNS)
    options.format_task = LedgerColumns(ledger=ledger).after(options.format_task)
    from reelmill_common.broker import make_app  # noqa: PLC0415 - celery: `reelmill --help` must stay quick

    follow_sentinels(address_of(settings))
    dashboard = Flower(capp=make_app(settings), options=options, **pages)
    if options.enable_events:
        dashboard.capp.control.enable_events()  # as Flower does each five seconds, first after five
    prefix = "/" + options.url_prefix.strip("/") if options.url_prefix else ""
    logins = tuple(options.basic_auth or ())
    badge = f"door:{secrets.token_hex(16)}" if logins else ""
    options.basic_auth = [badge] if logins else options.basic_auth
    login = LoginRequired(logins=logins, signs_in=bool(options.auth), prefix=prefix, badge=badge)
    serve_style(dashboard.default_router, [name.strip() for name in options.tasks_columns.split(",")], prefix)
    require_login(dashboard.default_router, login)
    return dashboard


def defaults(settings: Settings) -> dict[str, Any]:
    """Return our defaults for Flower's options.

    What 20,000 tasks cost in memory is in `docs/security.md`, measured by `benchmarks/flower_memory.py`.
    """
    return {
        "address": "127.0.0.1",
        "port": PORT,
        "read_only": True,
        "max_tasks": 20_000,
        "max_workers": 1_000,
        "purge_offline_workers": 86_400,  # seconds
        "persistent": True,
        "db": str(settings.state_dir / "flower" / "tasks"),
        "state_save_interval": 60_000,  # milliseconds, whatever Flower's page on configuration says (flower#1075)
        "tasks_columns": SHOWN,
        "format_task": format_task,
    }


def _make_private(folder: Path) -> None:
    """Make the folder of the kept tasks private: they hold prompts, and Flower unpickles them."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not hasattr(os, "getuid"):  # Windows has neither numeric owners nor these modes
        return
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022:
        raise InvalidSettings(
            f"{folder} belongs to another user, or others may write to it, and Flower unpickles its files; "
            f"run chmod go-w {folder}, or set FLOWER_DB to a file in a folder of your own"
        )


def _set(options: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(options, name, value)
