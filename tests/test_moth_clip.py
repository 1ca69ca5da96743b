"""The CLIP in the wheel: small, loadable by stock open_clip, better than chance and not perfect."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fgvr_bench.core.host import host
from fgvr_bench.core.images import decode_image
from fgvr_bench.engines import torchvision_ops
from fgvr_bench.engines.open_clip import LoadedClip, load_open_clip
from fgvr_bench.interfaces import ModelSettings
from fgvr_datasets.moth_24 import Moth24
from fgvr_models.moth_clip import CARD, FOLDER, MothClip

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def clip() -> LoadedClip:
    return load_open_clip(str(FOLDER), device="cpu")


def test_it_is_found_by_its_entry_point_and_says_what_it_is_without_loading() -> None:
    plugin = host().models["moth-clip"]
    assert isinstance(plugin, MothClip)
    identity = plugin.identify(ModelSettings())
    assert identity["checkpoint"] == "local"
    assert re.fullmatch(r"[0-9a-f]{64}", str(identity["sha256"]))
    assert str(ROOT) not in json.dumps(identity)


def test_it_lies_where_the_dataset_looks_for_it_and_stays_under_two_megabytes() -> None:
    assert Moth24().clip_checkpoint == FOLDER
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000


def test_stock_open_clip_loads_the_folder() -> None:
    torchvision_ops.ensure()
    import open_clip
    import torch

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")
    tokens = open_clip.get_tokenizer(f"local-dir:{FOLDER}")(["an image of a Dale Carpet"])
    pixels = preprocess(decode_image(Moth24().examples("validation")[0].image.read()))
    model.eval()
    with torch.inference_mode():
        assert model.encode_image(pixels[None]).shape == model.encode_text(tokens).shape == (1, 64)
    assert sum(parameter.numel() for parameter in model.parameters()) == CARD.parameters


def test_its_tokenizer_knows_the_guide_and_spells_everything_else(clip: LoadedClip) -> None:
    dale, dove, again, birds, other = clip.tokenizer(
        ["Dale Carpet", "Dove Dale Carpet", "dale carpet", "Black_footed_Albatross", "F-16A/B"]
    ).tolist()
    end = clip.model.vocab_size - 1
    assert dale[: dale.index(end) + 1] == [dale[0], *dove[2:4], end]
    assert dale == again
    assert len({tuple(row) for row in (dale, dove, birds, other)}) == 4
    assert all(row.count(end) == 1 for row in (dale, dove, birds, other))
    unknown = clip.tokenizer(["ж"]).tolist()[0][1]
    assert unknown not in birds + other


def test_every_description_fits_its_text_tower(clip: LoadedClip) -> None:
    dataset = Moth24()
    tokens = clip.tokenizer([dataset.description(label) for label in dataset.labels()])
    assert (tokens == clip.model.vocab_size - 1).any(1).all()
    assert (tokens[:, -1] == 0).all()


@pytest.fixture(scope="module")
def nearest(clip: LoadedClip) -> tuple[float, float]:
    """Share of validation images whose nearest name has the right genus, and whose nearest sibling is the truth."""
    import torch

    dataset = Moth24()
    labels = list(dataset.labels())
    genera = [dataset.taxonomy(label)[0] for label in labels]
    texts = clip.encode_texts([f"an image of a {label}" for label in labels])
    examples = dataset.examples("validation")
    pixels = torch.stack([clip.preprocess(decode_image(example.image.read())) for example in examples])
    similarities = torch.cat([clip.encode_images(part) for part in pixels.split(96)]) @ texts.T
    genus = sibling = 0
    for row, example in zip(similarities.tolist(), examples, strict=True):
        truth = dataset.taxonomy(example.label)[0]
        genus += genera[row.index(max(row))] == truth
        family = [place for place in range(24) if genera[place] == truth]
        sibling += labels[max(family, key=row.__getitem__)] == example.label
    return genus / len(examples), sibling / len(examples)


def test_it_knows_the_genus_and_errs_among_siblings(nearest: tuple[float, float]) -> None:
    genus, siblings = nearest
    assert genus > 0.95
    assert 0.55 < siblings < 0.85


def test_its_card_states_the_accuracy_that_it_has(nearest: tuple[float, float]) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    stated = re.search(r"\| validation \| genus ([\d.]+)%, siblings ([\d.]+)%", card)
    assert stated is not None
    assert [float(figure) for figure in stated.groups()] == pytest.approx([100 * share for share in nearest], abs=0.7)
    assert f"{CARD.parameters:,} parameters" in card
    assert "python benchmarks/train_moth_clip.py" in card


def test_the_script_that_made_it_makes_a_folder_that_loads(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "train_moth_clip.py"
    if not script.exists():
        pytest.skip("the script is in the repository only")
    command = [sys.executable, str(script), "--epochs=1", "--per-species=2", f"--output={tmp_path}"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    made = load_open_clip(str(tmp_path), device="cpu")
    assert made.encode_texts(["an image of a Dale Carpet"]).shape == (1, 64)
    files: dict[str, Any] = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert files[name] == (FOLDER / name).read_bytes()
    assert "--epochs=1" in files["README.md"].decode()
