"""`verify`: one verdict, printed or as JSON, with an exit status of its own."""

from __future__ import annotations

import os
from pathlib import Path

from fixtures.cli import Cli
from fixtures.signers import signer_files
from producer.verification_steps import store_batch, write
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store


def test_a_verdict_is_printed_with_its_grounds(cli: Cli, tmp_path: Path) -> None:
    signer = signer_files(tmp_path / "signer")
    clip = write(tmp_path / "clip.mp4", 3, signer)

    trusted = cli("verify", str(clip), "--trust", str(signer.authority))
    unknown = cli("verify", str(clip))

    assert (trusted.status, unknown.status) == (0, 10)
    assert trusted.out.splitlines()[0].split() == ["verdict:", "signed"]
    assert "clouds over 0003" in trusted.out
    assert unknown.out.splitlines()[0].split() == ["verdict:", "unknown", "signer"]
    assert "signingCredential.untrusted" in unknown.out


def test_a_copy_is_recognised_with_its_recipe_as_json(cli: Cli, settings: Settings, tmp_path: Path) -> None:
    store_batch(open_store(settings), range(4))
    clip = write(tmp_path / "stripped.mp4", 2)

    done = cli("verify", str(clip), "--json")

    found = done.json
    assert done.status == 12
    assert (found["verdict"], found["searched"]) == ("recognised", 4)
    assert (found["recognised"]["batch"], found["recognised"]["row"]) == ("night", "0002")
    assert found["recognised"]["manifest"]["spec"]["prompt"] == "clouds over 0002"
    assert found["signature"] is None


def test_a_file_that_is_not_there_is_said_to_be(cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    gone, device = cli("verify", str(tmp_path / "gone.mp4")), cli("verify", "/dev/null")
    pipe = cli("verify", str(tmp_path / "pipe"))

    assert (gone.status, "cannot be read" in gone.err) == (66, True)
    assert [(one.status, "not a regular file" in one.err) for one in (device, pipe)] == [(66, True)] * 2


def test_a_link_into_the_private_network_is_not_followed(cli: Cli) -> None:
    done = cli("verify", "https://127.0.0.1/clip.mp4")

    assert (done.status, "not on the public internet" in done.err) == (75, True)
