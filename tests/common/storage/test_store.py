"""What every clip store does, shown on a folder, on nanio and on SeaweedFS: the conformance suite of `ClipStore`.

Over TLS too, where boto3 would send its checksum behind the body: the store has to find the mode that clips survive.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fixtures.proxy import make_authority, proxy
from fixtures.s3 import S3Server
from reelmill_common.errors import ClipExists, NotFound, StoreError, StoreRefused
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore
from reelmill_common.storage.s3 import S3Store

FOLDER = pytest.param("folder")
NANIO = pytest.param("nanio")
SEAWEED = pytest.param("seaweed", marks=pytest.mark.services)
NANIO_TLS = pytest.param("nanio over TLS")
SEAWEED_TLS = pytest.param("seaweed over TLS", marks=pytest.mark.services)

_prefixes = itertools.count(1)


def make_store(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FolderStore | S3Store:
    if kind == "folder":
        return FolderStore(tmp_path / "Nächte 2026 + 100%")
    name, _, over = kind.partition(" over ")
    server = request.getfixturevalue(f"{name}_server")
    server.let_in(monkeypatch)
    settings = server.settings()
    if over:
        endpoint, bundle = request.getfixturevalue("tls")(server)
        settings = server.settings(s3_endpoint=endpoint, s3_ca_bundle=bundle)
        monkeypatch.setenv("SSL_CERT_FILE", bundle)  # for a link that is opened without our code
    # Small pages, so that a list of some twenty objects takes several.
    return S3Store(server.bucket, f"conformance-{next(_prefixes)}/Nächte 2026", settings, page_size=7)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[S3Server], tuple[str, str]]]:
    """Return what puts a TLS terminator before a server: its URL, and the bundle that makes a client trust it."""
    authority = make_authority(tmp_path_factory.mktemp("authority") / "ours")
    fronts: dict[str, str] = {}
    with ExitStack() as stack:

        def front(server: S3Server) -> tuple[str, str]:
            if server.endpoint not in fronts:
                port = int(server.endpoint.rpartition(":")[2])
                opened = stack.enter_context(proxy(port, tls=authority.server))
                fronts[server.endpoint] = f"https://127.0.0.1:{opened.port}"
            return fronts[server.endpoint], str(authority.bundle)

        yield front


@pytest.fixture(params=[FOLDER, NANIO, SEAWEED, NANIO_TLS, SEAWEED_TLS])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClipStore:
    return make_store(request.param, request, tmp_path, monkeypatch)


@pytest.fixture(params=[FOLDER, SEAWEED])
def strict_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClipStore:
    """A store that itself refuses a second put, however close in time."""
    return make_store(request.param, request, tmp_path, monkeypatch)


def put(store: ClipStore, key: str, body: Path | bytes = b"clip", *, replace: bool = False) -> None:
    store.put(key, body, content_type="video/mp4", replace=replace)


def keys(store: ClipStore, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(prefix)]


def test_what_was_put_is_what_comes_back(store: ClipStore) -> None:
    stored = store.put("night/fox.mp4", b"\x00clip\xff", content_type="video/mp4")

    assert store.get("night/fox.mp4") == b"\x00clip\xff"
    assert stored.size_bytes == 6
    assert stored.sha256 == hashlib.sha256(b"\x00clip\xff").hexdigest()


def test_an_empty_object_is_an_object(store: ClipStore) -> None:
    put(store, "night/empty.json", b"")

    assert store.get("night/empty.json") == b""
    assert keys(store) == ["night/empty.json"]


@pytest.mark.parametrize("megabytes", [5, 100])
def test_a_file_of_any_size_is_stored_whole(store: ClipStore, tmp_path: Path, megabytes: int) -> None:
    piece = bytes(range(256)) * 4096
    source = tmp_path / "clip.mp4"
    with source.open("wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(4, "big") + piece[4:])

    stored = store.put("night/fox.mp4", source, content_type="video/mp4")

    assert stored.size_bytes == source.stat().st_size == megabytes << 20
    assert hashlib.sha256(store.get("night/fox.mp4")).hexdigest() == stored.sha256


def test_head_tells_the_size_or_that_there_is_nothing(store: ClipStore) -> None:
    put(store, "night/fox.mp4", b"12345")

    found = store.head("night/fox.mp4")

    assert found is not None
    assert found.size_bytes == 5
    assert found.sha256 in (None, hashlib.sha256(b"12345").hexdigest())
    assert store.head("night/owl.mp4") is None
    assert store.head("other/fox.mp4") is None


def test_what_is_missing_of_a_clip_is_told_by_one_question(store: ClipStore) -> None:
    stored = [
        store.put(f"night/fox-1.{suffix}", suffix.encode(), content_type="video/mp4")
        for suffix in ("mp4", "jpg", "json")
    ]
    whole = store.missing(stored)
    store.delete("night/fox-1.jpg")
    store.put("night/fox-1.json", b"another length", content_type="application/json", replace=True)

    assert whole == []
    assert [item.key for item in store.missing(stored)] == ["night/fox-1.jpg", "night/fox-1.json"]
    assert store.missing([]) == []


def test_a_missing_object_cannot_be_read(store: ClipStore) -> None:
    put(store, "night/fox.mp4")

    for key in ("night/owl.mp4", "night", "night/fox.mp4/poster"):
        with pytest.raises(NotFound, match=key):
            store.get(key)


def test_a_clip_is_never_overwritten(store: ClipStore) -> None:
    put(store, "night/fox.mp4", b"first")

    with pytest.raises(ClipExists, match=r"fox\.mp4.* another clip .*new key"):
        put(store, "night/fox.mp4", b"other")

    assert store.get("night/fox.mp4") == b"first"


def test_storing_the_same_clip_again_is_a_success(store: ClipStore) -> None:
    put(store, "night/fox.mp4", b"same")

    put(store, "night/fox.mp4", b"same")

    assert store.get("night/fox.mp4") == b"same"
    assert keys(store) == ["night/fox.mp4"]


def test_of_several_at_once_one_wins(strict_store: ClipStore) -> None:
    start, lost = threading.Barrier(6), []
    strict_store.check()

    def one(number: int) -> None:
        start.wait()
        try:
            put(strict_store, "night/fox.mp4", b"%d" % number)
        except StoreError as err:  # the loser gets an error: the key is taken, or is being taken
            lost.append((number, err.code))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winner = int(strict_store.get("night/fox.mp4"))
    assert {number for number, _ in lost} == set(range(6)) - {winner}
    assert {code for _, code in lost} <= {"clip_exists", "store_unavailable"}


def test_a_replacement_is_asked_for_by_name(store: ClipStore) -> None:
    put(store, "night/index.html", b"old")

    put(store, "night/index.html", b"new", replace=True)

    assert store.get("night/index.html") == b"new"


def test_a_list_is_in_key_order_over_all_pages(store: ClipStore) -> None:
    made = [f"night-7/{number:02}.mp4" for number in range(18)] + ["night/fox.mp4", "night.x/fox.mp4", "day"]
    for key in reversed(made):
        put(store, key)

    assert keys(store) == sorted(made)


@pytest.mark.parametrize(
    ("prefix", "wanted"),
    [
        pytest.param("a/", ["a/fox.jpg", "a/fox.mp4"], id="one batch"),
        pytest.param("a/fox.m", ["a/fox.mp4"], id="cut inside a name"),
        pytest.param("a", ["a-b/fox.mp4", "a/fox.jpg", "a/fox.mp4"], id="cut inside a batch"),
        pytest.param("c/", [], id="nothing there"),
    ],
)
def test_a_prefix_narrows_the_list(store: ClipStore, prefix: str, wanted: list[str]) -> None:
    for key in ("a/fox.mp4", "a/fox.jpg", "a-b/fox.mp4", "b/fox.mp4"):
        put(store, key)

    assert keys(store, prefix) == wanted


def test_what_was_deleted_is_gone_and_its_key_is_free(store: ClipStore) -> None:
    put(store, "night/fox.mp4", b"first")

    store.delete("night/fox.mp4")
    store.delete("night/fox.mp4")

    assert store.head("night/fox.mp4") is None
    put(store, "night/fox.mp4", b"second")
    assert store.get("night/fox.mp4") == b"second"


def test_a_link_opens_without_our_code(store: ClipStore) -> None:
    put(store, "night/fox.mp4", b"clip")

    with urllib.request.urlopen(store.url("night/fox.mp4")) as reply:
        assert reply.read() == b"clip"


def test_an_object_is_read_up_to_a_size(store: ClipStore) -> None:
    put(store, "night/fox.mp4", b"12345")

    assert store.get("night/fox.mp4", most_bytes=5) == b"12345"
    with pytest.raises(StoreRefused, match="has 5 bytes, and at most 4 were expected"):
        store.get("night/fox.mp4", most_bytes=4)


def test_an_object_is_given_piece_by_piece(store: ClipStore) -> None:
    put(store, "night/fox.mp4", b"12345")

    with store.open("night/fox.mp4") as stream:
        pieces = [stream.read(2), stream.read(2), stream.read(2), stream.read(2)]

    assert pieces == [b"12", b"34", b"5", b""]
    with pytest.raises(NotFound), store.open("night/owl.mp4"):
        pass


def test_links_last_as_long_as_the_store_says(store: ClipStore) -> None:
    assert store.links_last_s == (None if isinstance(store, FolderStore) else Settings().presign_s)


def test_the_check_leaves_nothing_behind(store: ClipStore) -> None:
    put(store, "night/fox.mp4")

    store.check()
    store.check()

    assert everything(store) == ["night/fox.mp4"]


def everything(store: ClipStore) -> list[str]:
    """Return whatever lies below the store's root, hidden or not, as seen from outside."""
    if isinstance(store, FolderStore):
        return [str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()]
    assert isinstance(store, S3Store)
    place = store.place
    found = store._client().list_objects_v2(Bucket=place.bucket, Prefix=place.prefix)
    return [item["Key"].removeprefix(place.prefix) for item in found["Contents"]]


HOSTILE = [
    "",
    "/etc/passwd",
    "../fox.mp4",
    "night/../../fox.mp4",
    "night//fox.mp4",
    "night/",
    "night/.hidden",
    "night/fox..mp4",
    "night\\fox.mp4",
    "night/fox\x00.mp4",
    "night/fox\n.mp4",
    "night/fuchs-ü.mp4",
    "Night/fox.mp4",
    "night/" + "f" * 129,
    "/".join(["night"] * 120),
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_is_refused_before_anything_happens(tmp_path: Path, key: str) -> None:
    for store in (FolderStore(tmp_path / "clips"), S3Store("clips", "", Settings(s3_endpoint="http://127.0.0.1:1"))):
        for act in (store.get, store.head, store.delete, store.url, lambda key, s=store: put(s, key)):
            with pytest.raises(StoreError, match="is not usable; use"):
                act(key)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", ["../", "/etc", "night//", "a/../b", "Night"])
def test_a_hostile_prefix_is_refused(tmp_path: Path, prefix: str) -> None:
    for store in (FolderStore(tmp_path), S3Store("clips", "", Settings(s3_endpoint="http://127.0.0.1:1"))):
        with pytest.raises(StoreError, match="cannot begin a key"):
            list(store.list(prefix))
