"""What only a folder does: crashes in mid-put, rights, full disks and file systems without hard links."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.valkey import wait_for
from reelmill_common.errors import ClipExists, NotFound, StoreRefused
from reelmill_common.storage.folder import PART_AGE_S, FolderStore

NOBODY = 65534


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "clips")


@pytest.fixture
def someone_elses(tmp_path: Path) -> Iterator[Path]:
    """A folder that everybody may read and this process may not write to.

    Root may write everywhere, so there the process gives its rights up for the test; the folder lies outside
    `tmp_path`, which only its owner may enter.
    """
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "night").mkdir()
    (folder / "night/fox.mp4").write_bytes(b"clip")
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(NOBODY)
    else:
        (folder / "night").chmod(0o555)
        folder.chmod(0o555)
    yield folder
    if was_root:
        os.seteuid(0)
    for path in (folder, folder / "night"):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_put_that_is_killed_leaves_nothing_to_see(store: FolderStore, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = (
        "import sys; from pathlib import Path; from reelmill_common.storage.folder import FolderStore\n"
        "FolderStore(Path(sys.argv[1])).put('night/fox.mp4', Path(sys.argv[2]), content_type='video/mp4')"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(store.root), str(pipe)])
    with pipe.open("wb") as feed:
        feed.write(bytes(4 << 20))
        feed.flush()
        written = wait_for(lambda: [part for part in store.root.rglob(".*.part") if part.stat().st_size > 1 << 20])

        child.kill()
        child.wait()

    assert len(written) == 1
    assert list(store.list()) == []
    assert store.head("night/fox.mp4") is None
    store.put("night/fox.mp4", b"clip", content_type="video/mp4")
    assert [found.key for found in store.list()] == ["night/fox.mp4"]


def test_what_dead_processes_left_is_cleared_away_after_a_day(store: FolderStore) -> None:
    store.put("night/fox.mp4", b"clip", content_type="video/mp4")
    old, young = store.root / "night/.owl.mp4.1.part", store.root / "night/.fox.mp4.2.part"
    for part in (old, young):
        part.write_bytes(b"half")
    then = old.stat().st_mtime - PART_AGE_S - 60
    os.utime(old, (then, then))

    store.check()

    assert not old.exists()
    assert young.exists()
    assert store.get("night/fox.mp4") == b"clip"


def test_a_folder_of_another_user_is_refused_by_name(someone_elses: Path) -> None:
    store = FolderStore(someone_elses)

    for act in (
        store.check,
        lambda: store.put("night/owl.mp4", b"clip", content_type="video/mp4"),
        lambda: store.put("new/owl.mp4", b"clip", content_type="video/mp4"),
        lambda: store.delete("night/fox.mp4"),
    ):
        with pytest.raises(StoreRefused, match=rf"{someone_elses} is not writable .*REELMILL_STORE_URL"):
            act()

    assert store.get("night/fox.mp4") == b"clip"
    assert [found.key for found in store.list()] == ["night/fox.mp4"]


def test_a_file_in_the_folders_place_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "clips").write_text("a file")

    for root in (tmp_path / "clips", tmp_path / "clips/below"):
        store = FolderStore(root)
        with pytest.raises(StoreRefused, match=r"clips.* is not a folder .*move it away"):
            store.check()
        with pytest.raises(StoreRefused, match=r"clips.* is not a folder .*move it away"):
            store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert (tmp_path / "clips").read_text() == "a file"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param("size=1m", "StoreUnavailable: .* takes no writes now .*free space", id="full disk"),
        pytest.param("ro", "StoreRefused: .* is not writable .*Read-only file system", id="read-only mount"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_from_one_that_never_will(tmp_path: Path, options: str, error: str) -> None:
    program = (
        "import sys; from pathlib import Path; from reelmill_common.storage.folder import FolderStore\n"
        "store = FolderStore(Path(sys.argv[1]))\n"
        "try: store.put('night/fox.mp4', bytes(4 << 20), content_type='video/mp4')\n"
        "except OSError as err: print(f'{type(err).__name__}: {err}')\n"
        "print([found.key for found in store.list()])"
    )
    mount = f'mount -t tmpfs -o {options} tmpfs "$1" && exec "$2" -c "$3" "$1"'

    child = subprocess.run(  # in a mount namespace of its own, which ends with it
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )

    if "unshare" in child.stderr or "mount" in child.stderr:
        pytest.skip(f"no private mounts here: {child.stderr.strip()}")
    error_line, listed = child.stdout.splitlines()
    assert re.match(error, error_line)
    assert listed == "[]"


def test_a_listing_takes_more_than_a_thousand_objects(store: FolderStore) -> None:
    made = sorted(f"night-{number % 3}/clip-{number:04}.mp4" for number in range(1200))
    for key in made:
        (store.root / key).parent.mkdir(parents=True, exist_ok=True)
        (store.root / key).write_bytes(b"clip")

    assert [found.key for found in store.list()] == made


def test_files_that_are_not_ours_are_passed_over(store: FolderStore) -> None:
    store.put("night/fox.mp4", b"clip", content_type="video/mp4")
    for name in (".DS_Store", "Thumbs.db", "fuchs-ü.mp4", "a b.txt"):
        (store.root / "night" / name).write_bytes(b"not ours")
    (store.root / "Private").mkdir()
    (store.root / "Private/fox.mp4").write_bytes(b"not ours")

    assert [found.key for found in store.list()] == ["night/fox.mp4"]


def test_an_empty_store_lists_nothing_and_has_nothing(store: FolderStore) -> None:
    assert list(store.list()) == []
    assert store.head("night/fox.mp4") is None
    with pytest.raises(NotFound):
        store.get("night/fox.mp4")


def test_without_hard_links_a_clip_is_still_stored_once(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:  # as exFAT does
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    start, lost = threading.Barrier(6), []

    def one(number: int) -> None:
        start.wait()
        try:
            store.put("night/fox.mp4", b"%d" % number, content_type="video/mp4")
        except ClipExists:
            lost.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(lost) == set(range(6)) - {int(store.get("night/fox.mp4"))}
    assert [path.name for path in (store.root / "night").iterdir()] == ["fox.mp4"]
