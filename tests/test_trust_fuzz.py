"""Whatever a file holds, it is read or refused in words: no traceback, no hang, nothing outside its folder.

``FGVR_TEST_INPUTS=100000`` is the long form (docs/reliability.md); each test takes a share of that number.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_tools import TOKENS, in_time, inputs, spoils, spoilt
from hypothesis import strategies as st
from layouts import KEYS, Plan, lay_out, small_plan
from PIL import Image
from test_run_story import play
from toy import ToyPlugin, toy_host

from fgvr_bench.cli.results import FORMATS
from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.experiment import combine, read_experiment
from fgvr_bench.core.field_guide import read_guide
from fgvr_bench.core.host import host
from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.core.importing import import_run
from fgvr_bench.core.likeness import _size
from fgvr_bench.core.locks import describe_lock
from fgvr_bench.core.option_audit import audit
from fgvr_bench.core.option_files import OptionSet, iter_options, write_options
from fgvr_bench.core.option_page import sample
from fgvr_bench.core.parts import StoredAnswers
from fgvr_bench.core.published_json import read_rows
from fgvr_bench.core.reported import read_reported
from fgvr_bench.core.rescoring import rescore
from fgvr_bench.core.results import read_runs
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.core.subset import read_subset
from fgvr_bench.core.taxonomy import read_taxonomy
from fgvr_bench.core.unpack import unpack
from fgvr_bench.engines.openai_api.faults import words_of
from fgvr_bench.errors import FgvrError
from fgvr_bench.types import FileImage, Options, Response, letters_for

Folder = Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return tmp_path_factory.mktemp("fuzzed")


# --- annotations ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archives(place: Folder) -> dict[str, tuple[Plan, Path, list[Path]]]:
    """Lay out the six datasets, small; with each its annotation files."""
    found = {}
    for key in KEYS:
        plan = small_plan(key)
        folder = lay_out(plan, place / key)
        files = sorted(path for path in folder.rglob("*") if path.suffix in {".txt", ".mat", ".csv"} and path.is_file())
        assert files
        found[key] = plan, place / key, files
    return found


@inputs(0.16, key=st.sampled_from(KEYS), which=st.integers(0, 40), split=st.sampled_from(["test", "train"]), how=spoils)
def test_annotations_of_the_six(archives: Any, key: str, which: int, split: str, how: Any) -> None:
    plan, root, files = archives[key]
    path = files[which % len(files)]
    whole = path.read_bytes()
    try:
        path.write_bytes(spoilt(whole, how))
        with in_time(), contextlib.suppress(FgvrError):
            dataset = plan.plugin().open([root])
            labels = set(dataset.labels())
            for example in dataset.examples(split):
                assert example.label in labels
                assert isinstance(example.image, FileImage)
                assert Path(os.path.normpath(example.image.path)).is_relative_to(root), "an image outside the root"
    finally:
        path.write_bytes(whole)


# --- what this project writes, and reads again ------------------------------------------------------


@pytest.fixture(scope="module")
def option_file(place: Folder) -> Path:
    labels = ["Knot", "Ruff", "Dunlin", "Sanderling", "Curlew"]
    rows = [
        Options(f"d/test/{n:02}", tuple(labels[(n + i) % 5] for i in range(4)), (0.1, 0.2, 0.3, 0.4), 2, -0.1)
        for n in range(24)
    ]
    return write_options(place / "set.jsonl", {"dataset": "d", "split": "test", "labels": labels, "k": 4}, rows).path


@inputs(0.1, how=spoils)
def test_option_sets(option_file: Path, how: Any) -> None:
    path = option_file.with_name("spoilt.jsonl")
    path.write_bytes(spoilt(option_file.read_bytes(), how))
    with in_time(), contextlib.suppress(FgvrError):
        loaded = OptionSet.load(path)
        rows = list(iter_options(path))
        assert len(rows) == len(loaded)
        sample(len(loaded), 3, 0)
        audit(loaded, 0)


@pytest.fixture(scope="module")
def run_folder(place: Folder) -> Path:
    os.environ.setdefault("FGVR_CACHE", str(place / "cache"))
    return play(place / "runs").results[0].folder


@inputs(0.1, name=st.sampled_from(["run.json", "responses.jsonl", "machine.json"]), how=spoils)
def test_runs(run_folder: Path, name: str, how: Any) -> None:
    path = run_folder / name
    whole = path.read_bytes()
    try:
        path.write_bytes(spoilt(whole, how))
        with in_time():
            read_runs(run_folder.parents[2])
            RunFolder(run_folder).read_executions()
            with contextlib.suppress(FgvrError):
                rescore(toy_host(), run_folder)
            if name == "responses.jsonl":
                with contextlib.suppress(FgvrError):
                    _rescore_unchecked(run_folder, path)
    finally:
        path.write_bytes(whole)


def _rescore_unchecked(folder: Path, responses: Path) -> None:
    """Score responses whose digest the run vouches for, as one would who wrote both."""
    import hashlib

    run = folder / "run.json"
    whole = run.read_bytes()
    try:
        content = json.loads(whole) | {"responses_sha256": hashlib.sha256(responses.read_bytes()).hexdigest()}
        run.write_text(json.dumps(content))
        rescore(toy_host(), folder)
    finally:
        run.write_bytes(whole)


@inputs(0.05, how=spoils)
def test_parts(place: Folder, how: Any) -> None:
    if not (place / "partial").exists():
        play(place / "partial", limit=20)
    [part] = (place / "partial").rglob("parts/*.jsonl")
    header = json.loads(part.read_bytes().split(b"\n")[0])
    folder = place / "parts"
    folder.mkdir(exist_ok=True)
    (folder / "0.jsonl").write_bytes(spoilt(part.read_bytes(), how))
    with in_time(), contextlib.suppress(FgvrError):
        answers = StoredAnswers(folder, 40, header["plan"], ("Brick_red", "Moss_green", "Sky_blue", "Amber"))
        for line in answers.lines(np.flatnonzero(answers.done)):
            assert line.endswith(b"}\n")
            json.loads(line)


@inputs(0.02, content=st.one_of(st.binary(max_size=60), st.sampled_from(TOKENS)))
def test_locks(place: Folder, content: bytes) -> None:
    path = place / "some.lock"
    path.write_bytes(content)
    with in_time():
        described = describe_lock(path)
    assert described is None or isinstance(described[0], str)


# --- what others write ------------------------------------------------------------------------------


@inputs(0.06, kind=st.sampled_from(["taxonomy.csv", "list.txt", "list.json", "reported", "published"]), how=spoils)
def test_tables_and_lists(archives: Any, place: Folder, kind: str, how: Any) -> None:
    plan, root, _ = archives["pet-37"]
    dataset = plan.plugin().open([root])
    first, second, third = dataset.labels()[:3]
    whole = {
        "taxonomy.csv": f"label,family,order\n{first},F,O\n{second},F,O\n{third},G,O\n".encode(),
        "list.txt": f"{first}\n# no\n{second}\n".encode(),
        "list.json": json.dumps({"list": [first, second], "unseen": [third]}).encode(),
        "reported": b'{"format":"fgvr-bench/reported","version":1,"sources":{"a":"b"}}\n'
        b'{"model":"m","dataset":"pet-37","percent":50,"source":"a"}\n',
        "published": json.dumps(
            {first: [{"image": "a.jpg", "options": [first, second], "groundtruth": first}]}
        ).encode(),
    }[kind]
    (place / "reported").mkdir(exist_ok=True)
    path = place / "reported" / "x.jsonl" if kind == "reported" else place / kind
    path.write_bytes(spoilt(whole, how))
    with in_time(), contextlib.suppress(FgvrError):
        if kind == "taxonomy.csv":
            read_taxonomy(path, dataset)
        elif kind.startswith("list"):
            read_subset(str(path), dataset, "test")
        elif kind == "reported":
            read_reported([place])
        else:
            read_rows(path, path.read_bytes())


EXPERIMENTS = {
    ".toml": b"""protocol = "fgvr-1"
limit = 200
blank-images = true
model = ["moth-clip", "random"]
model-arg = {quantize = "4bit"}
[[dataset]]
name = "moth-24"
options = "random"
permutations = "cyclic"
""",
    ".yaml": b"""protocol: fgvr-1
limit: 200
batch-size: auto
model:
  - moth-clip
  - {name: random, device: cpu}
dataset: &it
  - name: moth-24
    limit: 20
""",
}


@inputs(0.06, kind=st.sampled_from(sorted(EXPERIMENTS)), how=spoils)
def test_experiments(place: Folder, kind: str, how: Any) -> None:
    path = place / f"experiment{kind}"
    path.write_bytes(spoilt(EXPERIMENTS[kind], how))
    with in_time(), contextlib.suppress(FgvrError):
        read = read_experiment(path, host())
        combine(read, [], [], {})


@inputs(0.03, how=spoils)
def test_answers_of_servers(how: Any) -> None:
    whole = b'{"error":{"message":"no such model","type":"NotFound","code":404},"detail":[{"msg":"field required"}]}'
    with in_time():
        text = spoilt(whole, how).decode("utf-8", "replace")
        assert len(words_of(text)) <= 300


@inputs(0.03, kind=st.sampled_from(["csv", "jsonl"]), how=spoils)
def test_field_guides(place: Folder, kind: str, how: Any) -> None:
    dataset = ToyPlugin().open([])
    rows = [(label, f"a {label.lower()} thing") for label in dataset.labels()]
    whole = {
        "csv": "label,description\n" + "".join(f"{label},{text}\n" for label, text in rows),
        "jsonl": "".join(json.dumps({"label": label, "description": text}) + "\n" for label, text in rows),
    }[kind]
    path = place / f"guide.{kind}"
    path.write_bytes(spoilt(whole.encode(), how))
    with in_time(), contextlib.suppress(FgvrError):
        assert list(read_guide(str(path), dataset)) == list(dataset.labels())


@inputs(0.03, how=spoils)
def test_tables_of_pictures(place: Folder, how: Any) -> None:
    root = place / "table"
    if not root.exists():
        root.mkdir()
        for number in range(4):
            (root / f"{number}.jpg").write_bytes(PICTURES[0])
    path = root / "birds.csv"
    path.write_bytes(
        spoilt(b"image,label,split\n0.jpg,Knot,test\n1.jpg,Ruff,test\n2.jpg,Knot,train\n3.jpg,Ruff,test\n", how)
    )
    with in_time(), contextlib.suppress(FgvrError):
        plugin, argument = host().datasets.find(f"csv:{path}")
        dataset = plugin.open([], argument)
        for example in dataset.examples():
            assert example.label in dataset.labels()


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_answers_of_others(place: Folder, kind: str) -> None:
    """Take imported answer files of every format."""
    form = FORMATS[kind]
    row = {"image": "a.jpg", "question": "q", "options": ["x", "y"], "answer": "A", "response": "A", "groundtruth": "x"}

    @inputs(0.02, how=spoils)
    def each(how: Any) -> None:
        path = place / "answers.json"
        path.write_bytes(spoilt(json.dumps({"x": [row], "y": [row]}).encode(), how))
        with in_time(), contextlib.suppress(FgvrError):
            import_run(host(), path, form, "pet-37", "someone", place / "imported")

    each()


LABELS = ("A", "B", "Tree_Sparrow", "House_Sparrow", "A340-300", "Egyptian Mau", "C", "no", "The", "é", "Black Tern")
WORDS = [
    "A",
    "B.",
    "(C)",
    "D)",
    "Answer:",
    "answer is",
    "not",
    "Tree Sparrow",
    "House_Sparrow",
    "**",
    "\\boxed{",
    "}",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "User:",
    "Assistant:",
    "\n",
    "or",
    "both",
    "I",
    "a",
    "?",
    "no",
    "because",
    "rather than",
    "A340",
    "\u202e",
    "\x00",
    "\uff21",
    "\u24b6",
    "\xe9",
    "E\u0301",
    "$",
    "[INST]",
    "option",
    "'",
    '"',
]


@inputs(
    0.3,
    pieces=st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=30),
    glue=st.sampled_from(["", " ", "\n", ", "]),
    repeats=st.sampled_from([1, 1, 1, 40]),
    choices=st.lists(st.sampled_from(LABELS), min_size=2, max_size=6, unique=True),
)
def test_answers_of_models(pieces: list[str], glue: str, repeats: int, choices: list[str]) -> None:
    text = glue.join(pieces) * repeats
    letters = letters_for(choices)
    with in_time():
        for name in ("fgvr-1", "fgvr-1-cot", "foci"):
            task = next(iter(host().protocols[name].tasks.values()))
            reading = task.read(Response("d/t/x#q.0", text), letters, choices)
            assert reading.choice is None or 0 <= reading.choice < len(choices)
            assert reading == task.read(Response("d/t/x#q.0", text), letters, choices), "the same text, read twice"


# --- pictures ---------------------------------------------------------------------------------------


def _pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 255, (24, 18, 3)).astype(np.uint8)
    colour = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [
        (colour, "JPEG", {"exif": exif}),
        (colour.convert("CMYK"), "JPEG", {}),
        (colour, "JPEG", {"progressive": True}),
        (colour, "PNG", {}),
        (Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG", {}),
        (colour.convert("P"), "GIF", {"save_all": True, "append_images": [colour.convert("P")]}),
        (colour.convert("RGBA"), "WEBP", {}),
        (colour, "TIFF", {}),
        (colour, "BMP", {}),
        (colour.convert("L"), "PPM", {}),
        (colour.convert("1"), "TIFF", {"compression": "group4"}),
    ]
    found = []
    for image, kind, settings in made:
        buffer = io.BytesIO()
        image.save(buffer, kind, **settings)
        found.append(buffer.getvalue())
    return found


PICTURES = _pictures()


@inputs(0.14, which=st.integers(0, len(PICTURES) - 1), how=spoils)
def test_pictures(place: Folder, which: int, how: Any) -> None:
    data = spoilt(PICTURES[which], how)
    with in_time():
        with contextlib.suppress(ImageInvalid):
            assert decode_image(data).mode == "RGB"
        (place / "picture.jpg").write_bytes(data)
        _size(FileImage(str(place / "picture.jpg")))


def _fit_name(name: bytes) -> bytes:
    return name.replace(b"/", b"").replace(b"\0", b"").strip(b".") + b".jpg"


NAMES = st.one_of(
    st.sampled_from(
        [
            b"a.jpg",
            b"b.PNG",
            b"new\nline.jpg",
            b"\xff\xfe.jpg",
            b"..jpg",
            b" .jpg",
            b"x.jpg.txt",
            b"-.jpg",
            b"\xc3\xa9.jpg",
            b"e\xcc\x81.jpg",
        ]
    ),
    st.binary(min_size=1, max_size=8).map(_fit_name),
)
KINDS = ["file", "file", "empty", "damaged", "folder", "pipe", "link", "broken link", "loop", "socket"]


@inputs(
    0.02,
    things=st.lists(
        st.tuples(st.sampled_from([b"Knot", b"Ruff", b"a\nb", b"\xff", b"."]), NAMES, st.sampled_from(KINDS)),
        min_size=1,
        max_size=7,
    ),
)
def test_folders_of_pictures(place: Folder, things: list[tuple[bytes, bytes, str]]) -> None:
    root = place / "photos"
    shutil.rmtree(root, ignore_errors=True)
    for label, name, kind in things:
        folder = os.fsencode(root) + b"/" + label
        os.makedirs(folder, exist_ok=True)
        _make(os.path.join(folder, name), kind)
    with in_time(), contextlib.suppress(FgvrError):
        plugin, _ = host().datasets.find("folder:x")
        dataset = plugin.open([], str(root))
        examples = dataset.examples()
        assert len(dataset_digest(dataset, "test")) == 64
        for example in examples:
            with contextlib.suppress(OSError, ImageInvalid):
                decode_image(example.image.read())


def _make(path: bytes, kind: str) -> None:
    if os.path.lexists(path):
        return
    if kind in {"file", "empty", "damaged"}:
        Path(os.fsdecode(path)).write_bytes({"file": PICTURES[0], "empty": b"", "damaged": PICTURES[0][:40]}[kind])
    elif kind == "folder":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, 0o140644)
    else:
        os.symlink({"link": b"/etc/passwd", "broken link": b"nowhere", "loop": os.path.basename(path)}[kind], path)


# --- archives ---------------------------------------------------------------------------------------

MEMBERS = st.sampled_from(
    [
        "a.jpg",
        "b/c.jpg",
        "../out.jpg",
        "/tmp/out.jpg",
        "b/../../out.jpg",
        "C:\\out.jpg",
        "..\\out.jpg",
        "",
        ".",
        "b",
        "b/./d",
    ]
)


@inputs(
    0.03,
    names=st.lists(st.tuples(MEMBERS, st.sampled_from(["file", "folder", "link", "hard", "device"])), max_size=4),
    form=st.sampled_from(["tar", "tgz", "zip"]),
    how=st.one_of(st.just([]), spoils),
)
def test_archives(place: Folder, names: list[tuple[str, str]], form: str, how: Any) -> None:
    archive, target = place / f"archive.{form}", place / "unpacked" / "deep"
    shutil.rmtree(place / "unpacked", ignore_errors=True)
    target.mkdir(parents=True)
    archive.write_bytes(spoilt(_packed(names, form), how))
    with in_time(), contextlib.suppress(FgvrError):
        unpack(archive, target)
    assert [path.name for path in (place / "unpacked").iterdir()] == ["deep"]
    assert not Path("/tmp/out.jpg").exists()
    for path in target.rglob("*"):
        assert not path.is_symlink()
        assert path.is_file() or path.is_dir()


def _packed(names: list[tuple[str, str]], form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "zip":
        import warnings

        with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as made:
            warnings.simplefilter("ignore")
            for name, kind in names:
                info = zipfile.ZipInfo(name or "x")
                info.external_attr = (0o120777 if kind == "link" else 0o100644) << 16
                made.writestr(info, b"/etc/passwd" if kind == "link" else b"data")
        return buffer.getvalue()
    kinds = {"folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
    with tarfile.open(fileobj=buffer, mode="w:gz" if form == "tgz" else "w") as made:
        for name, kind in names:
            item = tarfile.TarInfo(name)
            item.type = kinds.get(kind, tarfile.REGTYPE)
            item.linkname = "/etc/passwd"
            item.size = 4 if item.isreg() else 0
            made.addfile(item, io.BytesIO(b"data"))
    return buffer.getvalue()


# --- the environment --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(place: Folder) -> Path:
    for label in ("Knot", "Ruff"):
        (place / "few" / label).mkdir(parents=True)
        (place / "few" / label / "1.jpg").write_bytes(PICTURES[0])
    return place / "few"


VARIABLES = [
    "MODEL",
    "DATASET",
    "SPLIT",
    "SUBSET",
    "PROTOCOL",
    "TASK",
    "OPTIONS",
    "LIMIT",
    "PERMUTATIONS",
    "SEED",
    "DECODING",
    "MAX_NEW_TOKENS",
    "CHECKPOINT",
    "REVISION",
    "DEVICE",
    "DTYPE",
    "MODEL_ARG",
    "BATCH_SIZE",
    "WORKERS",
    "PROCESSES",
    "DATA_ROOT",
    "RESULTS_DIR",
    "FGVR_DATA",
    "FGVR_DISABLE",
    "FGVR_OFFLINE",
    "FGVR_API_KEY",
]
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "1",
            "9" * 30,
            "auto",
            "all",
            "nan",
            "\udcff",
            "/",
            "..",
            "/dev/null",
            "~",
            "~x",
            "a=b",
            "hf:",
            ":",
            "random",
            "cyclic",
            "é",
            "\x1b[2J",
        ]
    ),
    st.binary(max_size=12).map(lambda value: os.fsdecode(value.replace(b"\0", b""))),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12),
)


@inputs(
    0.02,
    name=st.sampled_from(VARIABLES),
    value=VALUES,
)
def test_the_environment(photos: Path, name: str, value: str) -> None:
    from fgvr_bench.cli.main import main

    full = name if name.startswith("FGVR_") else f"FGVR_RUN_{name}"
    given = {"FGVR_RUN_MODEL": "random", "FGVR_RUN_DATASET": f"folder:{photos}", "FGVR_RUN_OPTIONS": "random"}
    given[full] = value
    out, err = io.StringIO(), io.StringIO()
    before = dict(os.environ)
    try:
        os.environ.update(given)
        shown = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with in_time(), shown[0], shown[1], pytest.raises(SystemExit) as ended:
            main(["run", "--dry-run"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert ended.value.code in {0, 1, 2}
    assert "unexpected" not in err.getvalue()
    assert "Traceback" not in err.getvalue()
