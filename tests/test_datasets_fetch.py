"""``datasets fetch``: official archives from a server on loopback, interrupted, damaged and hostile ones too."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from layouts import KEYS, PLUGINS, lay_out, small_plan
from loopback import Site, serve
from toy import Registration

from fgvr_bench.cli import datasets as command
from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core import fetch as fetching
from fgvr_bench.core.fetch import Offline, download, fetch_dataset
from fgvr_bench.core.host import Host
from fgvr_bench.core.unpack import unpack
from fgvr_bench.core.verify import verify
from fgvr_bench.errors import DataInvalid, FgvrError
from fgvr_bench.interfaces import DatasetCard, Download
from fgvr_datasets._archives import ArchivePlugin

FETCHED = [key for key in KEYS if PLUGINS[key].card.downloads]


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, and broken connections are taken up again without a pause."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "PAUSE", 0)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as served:
        yield served


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def packed(folder: Path, *names: str, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name in names:
            archive.add(folder / name, arcname=name)
    return buffer.getvalue()


def offered(key: str, site: Site, folder: Path) -> ArchivePlugin:
    """Put a small set's archives, packed as the official ones are, on the server; return its plugin."""
    plan = small_plan(key)
    laid = lay_out(plan, folder)
    members: dict[str, Callable[[], bytes]] = {
        "fgvc-aircraft-2013b.tar.gz": lambda: packed(folder, laid.name),
        "CUB_200_2011.tgz": lambda: packed(folder, laid.name),
        "images.tar": lambda: packed(laid, "Images", mode="w"),
        "lists.tar": lambda: packed(laid / "lists", "file_list.mat", "test_list.mat", "train_list.mat", mode="w"),
        "102flowers.tgz": lambda: packed(laid, "jpg"),
        "imagelabels.mat": lambda: (laid / "imagelabels.mat").read_bytes(),
        "setid.mat": lambda: (laid / "setid.mat").read_bytes(),
        "images.tar.gz": lambda: packed(laid, "images"),
        "annotations.tar.gz": lambda: packed(laid, "annotations"),
    }
    plugin = plan.plugin()
    downloads = []
    for item in plugin.card.downloads:
        name = os.path.basename(item.url)
        site.files[name] = data = members[name]()
        downloads.append(dataclasses.replace(item, url=site.url + name, checksum=md5(data), size=len(data)))
    plugin.card = dataclasses.replace(plugin.card, downloads=tuple(downloads))
    return plugin


@pytest.mark.parametrize("key", FETCHED)
def test_what_is_fetched_is_found_and_good(key: str, site: Site, tmp_path: Path) -> None:
    plugin = offered(key, site, tmp_path / "source")
    root = tmp_path / "data"
    said = fetch_dataset(plugin.card, root / key)
    assert len(said) == len(plugin.card.downloads)
    assert all("as published" in text for text in said)
    assert plugin.present([root]) is not None
    report = verify(plugin, plugin.open([root]))
    assert report.good
    assert [found.split for found in report.splits] == ["test", "train"]
    assert not [path for path in (root / key).rglob("*") if path.suffix in {".tgz", ".gz", ".tar", ".part"}]
    asked = len(site.requests)
    assert fetch_dataset(plugin.card, root / key) == [f"{key} is complete in {root / key}"]
    assert len(site.requests) == asked


def test_a_fetch_that_stopped_between_archives_goes_on_with_the_next(site: Site, tmp_path: Path) -> None:
    plugin = offered("pet-37", site, tmp_path / "source")
    annotations = site.files.pop("annotations.tar.gz")
    with pytest.raises(Offline, match="the server answers 404"):
        fetch_dataset(plugin.card, tmp_path / "pet-37")
    site.files["annotations.tar.gz"] = annotations
    fetch_dataset(plugin.card, tmp_path / "pet-37")
    assert [path for path, _ in site.requests] == ["/images.tar.gz", "/annotations.tar.gz", "/annotations.tar.gz"]
    assert verify(plugin, plugin.open([tmp_path])).good


DATA = random.Random(0).randbytes(300_000)


def test_a_broken_connection_is_taken_up_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA
    site.cut_after = [100_000, 50_000]
    sha256 = download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert sha256 == hashlib.sha256(DATA).hexdigest()
    assert [asked for _, asked in site.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert site.served == len(DATA)


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA
    site.cut_after = [120_000]
    with pytest.raises(Offline, match="120,000 bytes are kept and the same command goes on from there"):
        download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin", attempts=1)
    assert not (tmp_path / "a.bin").exists()
    seen: list[int] = []

    def progress(description: str, total: int | None) -> Any:
        import contextlib

        return contextlib.nullcontext(seen.append)

    download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin", size=len(DATA), progress=progress)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert seen[0] == 120_000
    assert sum(seen) == len(DATA)
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_server_that_cannot_go_on_starts_over(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA
    site.cut_after = [120_000]
    site.ranges = False
    download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_part_that_is_whole_already_needs_no_more(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA
    (tmp_path / "a.bin.part").write_bytes(DATA)
    download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")
    assert site.served == 0
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_part_longer_than_the_file_is_dropped(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA
    (tmp_path / "a.bin.part").write_bytes(DATA + b"more")
    download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_killed_download_goes_on(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = big = random.Random(1).randbytes(30_000_000)
    site.seconds_a_piece = 0.05
    script = f"""
from pathlib import Path
from fgvr_bench.core.fetch import download
download({site.url + "a.bin"!r}, {md5(big)!r}, Path({str(tmp_path / "a.bin")!r}))
"""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    killed = subprocess.Popen([sys.executable, "-c", script], env=environment)
    part = tmp_path / "a.bin.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 500_000) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    held = part.stat().st_size
    assert 500_000 < held < len(big)
    site.seconds_a_piece = 0
    download(site.url + "a.bin", md5(big), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == big
    assert site.requests[-1] == ("/a.bin", f"bytes={held}-")


def test_damage_is_refused_and_deleted(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with pytest.raises(DataInvalid, match="is not what was published") as caught:
        download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")
    assert md5(DATA).removeprefix("md5:") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []
    site.files["a.bin"] = DATA
    download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")


def test_a_file_that_changed_while_half_of_it_was_here_is_refused_once(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataInvalid):
        download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")
    download(site.url + "a.bin", md5(DATA), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_server_that_refuses_is_quoted(site: Site, status: int, tmp_path: Path) -> None:
    site.status = status
    with pytest.raises(Offline, match=f"the server answers {status}"):
        download(site.url + "a.bin", None, tmp_path / "a.bin")
    assert len(site.requests) == (1 if status < 500 else fetching.ATTEMPTS)


def test_no_server_is_one_sentence(tmp_path: Path) -> None:
    with serve() as gone:
        url = gone.url
    with pytest.raises(Offline, match="cannot be downloaded: ConnectionError"):
        download(url + "a.bin", None, tmp_path / "a.bin")


def test_who_wants_no_network_gets_none(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["a.bin"] = DATA
    for name in ("FGVR_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "1")
        with pytest.raises(Offline, match="FGVR_OFFLINE"):
            download(site.url + "a.bin", None, tmp_path / "a.bin")
        monkeypatch.delenv(name)
    assert site.requests == []


def test_what_nobody_pinned_is_told_with_its_sha256(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = DATA
    card = DatasetCard("x", "X", "xs", None, downloads=(Download(site.url + "a.bin", None, 10, unpack=False),))
    (said,) = fetch_dataset(card, tmp_path / "x")
    assert hashlib.sha256(DATA).hexdigest() in said
    assert "nobody published a checksum" in said


def test_too_little_space_is_told_before_anything_is_asked_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 10**9))
    with pytest.raises(FgvrError, match=r"needs about 2\.4 GB in .*; 1\.0 GB are free"):
        fetch_dataset(PLUGINS["bird-200"].card, tmp_path / "bird-200")
    assert site.requests == []


def test_cars_say_what_a_person_has_to_do(tmp_path: Path) -> None:
    with pytest.raises(FgvrError) as caught:
        fetch_dataset(PLUGINS["car-196"].card, tmp_path / "car-196")
    text = str(caught.value)
    for expected in ("kaggle.com", "car_devkit.tgz", "cars_test_annos_withlabels.mat", str(tmp_path / "car-196")):
        assert expected in text
    assert "fgvr-bench datasets verify car-196" in text


def test_checksums_are_the_published_ones() -> None:
    pinned = {os.path.basename(item.url): item.checksum for key in FETCHED for item in PLUGINS[key].card.downloads}
    assert all(checksum and checksum.startswith("md5:") and len(checksum) == 36 for checksum in pinned.values())
    assert pinned["CUB_200_2011.tgz"] == "md5:97eceeb196236b17998738112f37df78"
    assert all(item.url.startswith("http") for key in FETCHED for item in PLUGINS[key].card.downloads)


# --- unpacking ------------------------------------------------------------------------------------


def tar_of(*members: tuple[tarfile.TarInfo, bytes | None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (member("../out.txt"), "leads out"),
        (member("a/../../out.txt"), "leads out"),
        (member("/tmp/out.txt"), "leads out"),
        (member("..\\out.txt"), "leads out"),
        (member("C:/out.txt"), "leads out"),
        (member("a", tarfile.SYMTYPE, "/etc/passwd"), "link or a device"),
        (member("a", tarfile.LNKTYPE, "/etc/passwd"), "link or a device"),
        (member("a", tarfile.CHRTYPE), "link or a device"),
        (member("a", tarfile.FIFOTYPE), "link or a device"),
    ],
    ids=lambda value: repr(value.name) if isinstance(value, tarfile.TarInfo) else None,
)
def test_a_member_that_would_leave_the_folder_is_refused(info: tarfile.TarInfo, reason: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tar_of((member("good.txt", size=2), b"ok"), (info, None)))
    (tmp_path / "into").mkdir()
    with pytest.raises(DataInvalid, match=reason):
        unpack(archive, tmp_path / "into")
    assert os.listdir(tmp_path / "into") == []
    assert sorted(os.listdir(tmp_path)) == ["a.tgz", "into"]


def test_a_zip_is_unpacked_under_the_same_rules(tmp_path: Path) -> None:
    good = tmp_path / "good.zip"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("a/b.txt", "text")
        archive.writestr("c/", "")
    (tmp_path / "into").mkdir()
    assert unpack(good, tmp_path / "into") == ["a", "c"]
    assert (tmp_path / "into/a/b.txt").read_text() == "text"
    for name, mode in (("../out.txt", 0), ("link", 0o120777 << 16)):
        bad = tmp_path / "bad.zip"
        with zipfile.ZipFile(bad, "w") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(DataInvalid, match=r"leads out|link or a device"):
            unpack(bad, tmp_path / "into")
    assert sorted(os.listdir(tmp_path / "into")) == ["a", "c"]


def test_an_archive_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fgvr_bench.core.unpack.FREE_BYTES", 1000)
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tar_of((member("zeros", size=10_000_000), bytes(10_000_000))))
    with pytest.raises(DataInvalid, match="unpacks to more than"):
        unpack(archive, tmp_path)
    assert os.listdir(tmp_path) == ["a.tgz"]


@pytest.mark.parametrize("keep", [0, 5, 0.5, 0.97])
def test_a_damaged_archive_leaves_nothing_behind(keep: float, tmp_path: Path) -> None:
    data = tar_of(*[(member(f"{number}.bin", size=5000), DATA[number : number + 5000]) for number in range(9)])
    archive = tmp_path / "a.tgz"
    archive.write_bytes(data[: int(keep * len(data) if 0 < keep < 1 else keep)])
    (tmp_path / "into").mkdir()
    with pytest.raises(DataInvalid, match="damaged or no archive"):
        unpack(archive, tmp_path / "into")
    assert os.listdir(tmp_path / "into") == []


def test_what_is_in_the_way_is_named_and_kept(tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tar_of((member("mine.txt", size=3), b"new")))
    (tmp_path / "mine.txt").write_text("old")
    with pytest.raises(FgvrError, match=r"mine.txt is in the way"):
        unpack(archive, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "old"


# --- the command ----------------------------------------------------------------------------------


def test_the_command_fetches_into_the_data_root(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = offered("flower-102", site, tmp_path / "source")
    made = Host()
    made.add(Registration(datasets=[plugin, PLUGINS["car-196"]()]), "small")
    monkeypatch.setattr(command, "host", lambda: made)
    root = tmp_path / "data"
    done = CliRunner().invoke(fgvr_bench, ["datasets", "fetch", "flower-102", "--data-root", str(root)])
    assert done.exit_code == 0, done.output
    assert "fgvr-bench datasets verify flower-102" in done.output
    assert plugin.present([root]) == str(root / "flower-102")
    again = CliRunner().invoke(fgvr_bench, ["datasets", "fetch", "flower-102", "--data-root", str(root)])
    assert "flower-102 is complete" in again.output
    both = CliRunner().invoke(fgvr_bench, ["datasets", "fetch", "all", "--data-root", str(root)])
    assert both.exit_code == 1
    assert "flower-102 is complete" in both.output
    assert "car-196 cannot be downloaded by a program" in both.output


def test_data_put_there_by_hand_are_left_alone(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = offered("flower-102", site, tmp_path / "source")
    made = Host()
    made.add(Registration(datasets=[plugin]), "small")
    monkeypatch.setattr(command, "host", lambda: made)
    shutil.copytree(tmp_path / "source" / "flowers-102", tmp_path / "data" / "flower-102")
    done = CliRunner().invoke(fgvr_bench, ["datasets", "fetch", "flower-102", "--data-root", str(tmp_path / "data")])
    assert done.exit_code == 0
    assert "nothing was downloaded" in done.output
    assert site.requests == []
