"""Every bundled plugin passes the kit that others are held against.

Families of Hugging Face models pass it in test_models_families.py, food-101 and ImageNet in test_datasets_foci.py,
``hf:`` datasets in test_datasets_hub.py, protocols, metrics and miners in test_kit_protocols.py and its neighbours.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from layouts import KEYS, draw, lay_out, small_plan
from openai_server import Asked, Reply, ranked, said, serve

from fgvr_bench.core.host import Host
from fgvr_bench.interfaces import DatasetPlugin, ModelPlugin, ModelSettings
from fgvr_bench.testing import check_dataset, check_model, check_plugin
from fgvr_bench.testing.cards import look_at_dataset_card
from fgvr_bench.testing.findings import Findings

INSTALLED = Host()
INSTALLED.load_entry_points()
BUNDLED = [info.module for info in INSTALLED.plugins if info.distribution == "fgvr-bench"]


@pytest.mark.parametrize("module", BUNDLED)
def test_every_module_is_imported_lightly_and_registers_what_is_right(module: str) -> None:
    check_plugin(module)


@pytest.mark.parametrize("plugin", list(INSTALLED.models), ids=lambda plugin: plugin.card.name)
def test_every_card_of_a_model_says_what_a_board_asks_for(plugin: ModelPlugin) -> None:
    check_model(plugin, card_only=True)


@pytest.mark.parametrize("plugin", list(INSTALLED.datasets), ids=lambda plugin: plugin.card.name)
def test_every_card_of_a_dataset_says_what_a_board_asks_for(plugin: DatasetPlugin) -> None:
    found = Findings(plugin.card.name)
    look_at_dataset_card(found, plugin)
    found.settle()


@pytest.mark.parametrize("name", ["always-a", "moth-clip", "moth-finedefics", "moth-idefics2"])
def test_models_that_come_with_their_weights_pass(name: str) -> None:
    check_model(INSTALLED.models[name], ModelSettings(device="cpu"))


def test_a_contrastive_model_passes(tmp_path: Path) -> None:
    folder = tiny.clip(tmp_path)
    check_model(INSTALLED.models["open-clip"], ModelSettings(checkpoint=str(folder), device="cpu", dtype="float64"))


def by_length(asked: Asked) -> Reply:
    """Answer by what is asked alone: a letter for the picture's bytes."""
    letter = "ABCD"[len(asked.picture_url) % 4]
    if asked.body.get("logprobs"):
        return Reply(
            ranked({token: -1.0 - place for place, token in enumerate((letter, "A", "B", "C", "D", "yes", "no"))})
        )
    return Reply(said(letter))


def test_a_model_behind_a_server_passes() -> None:
    with serve(by_length) as server:
        argument = server.name.removeprefix("api:")
        check_model(INSTALLED.models["api:toy"], ModelSettings(argument=argument), decodings=["generate"])


@pytest.mark.parametrize("key", KEYS)
def test_the_published_datasets_pass(key: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    lay_out(plan, tmp_path)
    check_dataset(plan.plugin(), [tmp_path], may_read=64 if key == "car-196" else 0)  # boxes are held against pictures


def test_moth_24_passes() -> None:
    check_dataset(INSTALLED.datasets["moth-24"], images=4)


def test_folders_and_tables_of_ones_own_pass(tmp_path: Path) -> None:
    rows = [(f"{label}/{number}.jpg", label) for label in ("House Sparrow", "Tree Sparrow") for number in (1, 2)]
    for number, (path, label) in enumerate(rows):
        (tmp_path / "birds" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "birds" / path).write_bytes(draw(number, label))
    table = tmp_path / "birds" / "birds.csv"
    table.write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    check_dataset(INSTALLED.datasets["folder:x"], argument=str(tmp_path / "birds"))
    check_dataset(INSTALLED.datasets["csv:x"], argument=str(table))
