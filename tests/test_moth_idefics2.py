"""The two tiny Idefics2 in the wheel: small, loaded by stock transformers, as good as cards and board say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fgvr_bench.core.host import host
from fgvr_bench.engines import torchvision_ops
from fgvr_bench.interfaces import ModelSettings
from fgvr_models.moth_clip import FOLDER as CLIP
from fgvr_models.moth_idefics2 import BASE, PARAMETERS, TUNED, WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
BOTH = pytest.mark.parametrize("plugin", [BASE, TUNED], ids=lambda plugin: plugin.card.name)


@BOTH
def test_it_is_found_by_its_entry_point_and_says_what_it_is_without_loading(plugin: Any) -> None:
    assert host().models[plugin.card.name] is plugin
    identity = plugin.identify(ModelSettings(device="cpu"))
    assert identity["checkpoint"] == "local"
    assert identity["dtype"] == "float32"
    assert re.fullmatch(r"[0-9a-f]{64}", str(identity["sha256"]))
    assert str(ROOT) not in json.dumps(identity)


def test_the_two_are_not_one() -> None:
    base, tuned = (plugin.identify(ModelSettings(device="cpu")) for plugin in (BASE, TUNED))
    assert {name for name in base if base[name] != tuned[name]} == {"sha256"}


def test_with_the_clip_they_stay_under_twelve_megabytes() -> None:
    files = [path for folder in (WEIGHTS, CLIP) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12_000_000


@BOTH
def test_stock_transformers_loads_the_folder(plugin: Any) -> None:
    torchvision_ops.ensure()
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model, report = AutoModelForImageTextToText.from_pretrained(plugin.folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert type(model).__name__ == "Idefics2ForConditionalGeneration"
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS <= 2_500_000
    assert type(AutoProcessor.from_pretrained(plugin.folder)).__name__ == "Idefics2Processor"


@BOTH
def test_its_card_says_how_it_was_made_and_what_it_can(plugin: Any) -> None:
    card = (plugin.folder / "README.md").read_text(encoding="utf-8")
    for said in ("python -m benchmarks.miniature", "| seed | 0 |", f"{PARAMETERS:,}", "MIT", plugin.card.name):
        assert said in card
    assert f"{(plugin.folder / 'model.safetensors').stat().st_size:,} bytes" in card


def test_the_base_model_passed_its_gates() -> None:
    gates = json.loads((BASE.folder / "made.json").read_text(encoding="utf-8"))["gates"]
    card = (BASE.folder / "README.md").read_text(encoding="utf-8")
    assert "MISSED" not in card
    for name, (right, asked) in gates.items():
        assert f"| {name} | {right}/{asked} |" in card


def test_the_base_is_at_chance_among_siblings_and_the_tuned_one_is_not() -> None:
    figures: dict[str, float] = {}
    for run in (ROOT / "results" / "moth-24").glob("moth-*defic*/*/run.json"):
        stored = json.loads(run.read_text(encoding="utf-8"))
        assert stored["facts"]["parameters"] == PARAMETERS
        if stored["inputs"]["images"] == "shown":
            plugin = host().models[stored["inputs"]["model"]["name"]]
            identity = plugin.identify(ModelSettings(device="cpu"))
            assert stored["inputs"]["model"]["sha256"] == identity["sha256"]  # of the very weights that ship
            figures[plugin.card.name] = stored["metrics"]["accuracy"]
    assert figures.keys() == {"moth-idefics2", "moth-finedefics"}
    assert figures["moth-idefics2"] + 0.1 < figures["moth-finedefics"] < 1
