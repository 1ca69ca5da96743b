"""The step of stage I: the published step's numbers, and one packed pass instead of six."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
import torch
from finedefics.collation import Collator
from finedefics.families import family_of, unwrapped
from finedefics.objective import Losses, Temperatures, Weights
from finedefics.packing import Block, Packed, decode, pack
from finedefics.rows import SINGLE, TrainingRow, read_rows
from finedefics.speed import compile_layers
from finedefics.stage_one import stage_one_losses
from finedefics.texts import GROUPS
from safetensors.torch import load_file

from fgvr_bench.engines import torchvision_ops
from fgvr_bench.errors import UsageError

BENCHMARKS = Path(__file__).resolve().parent.parent.parent / "benchmarks"
CASES = [
    "a_base",
    "b_no_negatives",
    "c_temperatures",
    "d_clamped",
    "g_f_right_padded",
    "h_finetune",
    "i_pretrain_cat_only",
    "l_neg_cat_only",
]
LOSSES = {
    "loss_gen": "generation",
    "loss_i2t": "image_to_attribute",
    "loss_t2i": "attribute_to_image",
    "loss_ia": "object_attribute",
    "loss_a2c": "attribute_to_category",
    "loss_c2a": "category_to_attribute",
    "loss_ac": "attribute_category",
    "loss_ccc": "category_category",
    "loss": "total",
}
GENERATION = Weights(1.0, 0.0, 0.0, 0.0)
LEFT = ["1_with_negatives", "2_without_negatives", "4_finetune_multi_image", "8_attributes_in_some_rows"]


def loaded(folder: Path, attention: str = "sdpa", dtype: torch.dtype = torch.float32) -> Any:
    torchvision_ops.ensure()
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, attn_implementation=attention, dtype=dtype).train()


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def published(request: pytest.FixtureRequest, reference: Path) -> Any:
    return loaded(reference / "stage1" / "model", request.param)


@pytest.mark.parametrize("packed", [False, True], ids=["straightforward", "packed"])
@pytest.mark.parametrize("name", CASES)
def test_the_published_step_is_met_with_its_gradients(reference: Path, published: Any, name: str, packed: bool) -> None:
    folder = reference / "stage1"
    case = json.loads((folder / "cases.json").read_text())[name]
    temperatures = Temperatures(case["temperatures_before"]["ia_temp"], case["temperatures_before"]["ac_temp"])
    published.zero_grad(set_to_none=True)
    losses = stage_one_losses(
        published,
        load_file(folder / "cases" / f"{name}.inputs.safetensors"),
        temperatures=temperatures,
        reading="released",
        weights=Weights() if case["training_stage"] == "pretrain" else GENERATION,
        packed=packed,
    )
    losses.total.backward()
    found = losses.detached()
    for term, ours in LOSSES.items():
        expected = case["losses"][term]
        assert (ours in found) is (expected is not None), term
        if expected is not None:
            assert float(found[ours]) == pytest.approx(expected, rel=1e-5), term
    parameters = dict(published.named_parameters())
    parameters |= {"model.ia_temp": temperatures.object_attribute, "model.ac_temp": temperatures.attribute_category}
    for parameter, norm in case["grad_norms"].items():
        gradient = parameters[parameter].grad if parameter in parameters else None
        if norm is None:
            assert gradient is None or not gradient.any(), parameter
        else:
            assert gradient is not None, parameter
            assert float(gradient.norm()) == pytest.approx(norm, rel=1e-3, abs=1e-5), parameter
    whole = folder / "cases" / f"{name}.grads.safetensors"
    for parameter, gradient in load_file(whole).items() if whole.exists() else ():
        ours_grad = parameters[parameter].grad
        assert ours_grad is not None, parameter
        assert torch.allclose(ours_grad, gradient, rtol=1e-3, atol=2e-5 * max(1.0, float(gradient.abs().max())))


@pytest.mark.parametrize("packed", [False, True], ids=["straightforward", "packed"])
@pytest.mark.parametrize("name", LEFT)
def test_left_padded_batches_give_the_published_losses(
    reference: Path, published: Any, name: str, packed: bool
) -> None:
    from transformers import AutoProcessor

    folder = reference / "collate"
    processor = AutoProcessor.from_pretrained(folder / "processor", do_image_splitting=False)
    processor.tokenizer.padding_side = "left"
    batch = Collator(processor, "released")(read_rows(folder / f"{name}.csv", folder / "images"))
    expected = json.loads((folder / "collate.json").read_text())["loss_of_stage1_model"]
    for stage, weights in (("pretrain", Weights()), ("finetune", GENERATION)):
        losses = stage_one_losses(
            published, batch, temperatures=Temperatures(), reading="released", weights=weights, packed=packed
        )
        assert float(losses.total.detach()) == pytest.approx(expected[f"{name}.left|{stage}"], rel=1e-5)


@pytest.fixture(scope="module", params=["idefics2", "llava"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build: Callable[[Path], Path] = getattr(tiny_families, request.param)
    return build(tmp_path_factory.mktemp(request.param))


def rows_in(folder: Path) -> list[TrainingRow]:
    made = []
    for number, (picture, name) in enumerate(zip(tiny.pictures(3), ("tern", "crow", "tern"), strict=True)):
        picture.save(folder / f"{number}.png")
        others = ("crow", "owl") if name == "tern" else ("tern",)
        made.append(
            TrainingRow(
                "Which bird is shown?" + " Name it." * number,
                name,
                SINGLE,
                (folder / f"{number}.png",),
                f"a {name} seen from its side" + " in the rain" * number,
                tuple(f"what {other} birds look like" for other in others),
                name,
                others,
            )
        )
    return made


def batch_of(checkpoint: Path, folder: Path, **settings: Any) -> dict[str, Any]:
    from transformers import AutoProcessor

    batch = Collator(AutoProcessor.from_pretrained(checkpoint), **settings)(rows_in(folder))
    return {name: value.double() if name == "pixel_values" else value for name, value in batch.items()}


def trained(model: Any, batch: Mapping[str, Any], **settings: Any) -> tuple[Losses, dict[str, torch.Tensor]]:
    """Return losses and every gradient, those of the temperatures among them."""
    temperatures = Temperatures().double()
    model.zero_grad(set_to_none=True)
    losses = stage_one_losses(model, batch, temperatures=temperatures, **settings)
    losses.total.backward()
    named = [*model.named_parameters(), *temperatures.named_parameters()]
    return losses, {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}


def assert_equal(
    first: tuple[Losses, dict[str, torch.Tensor]],
    second: tuple[Losses, dict[str, torch.Tensor]],
    rounding: float = 1e-9,
) -> None:
    (losses, gradients), (others, other_gradients) = first, second
    assert losses.detached().keys() == others.detached().keys()
    for name, value in losses.detached().items():
        assert torch.allclose(value, others.detached()[name], rtol=rounding, atol=rounding), name
    assert gradients.keys() == other_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, other_gradients[name], rtol=1e3 * rounding, atol=10 * rounding), name


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("answer_only", [True, False])
def test_one_packed_pass_is_the_passes_group_by_group(
    checkpoint: Path, tmp_path: Path, attention: str, answer_only: bool
) -> None:
    model = loaded(checkpoint, attention, torch.float64)
    batch = batch_of(checkpoint, tmp_path, answer_only=answer_only)
    packed, separate = (trained(model, batch, packed=packed) for packed in (True, False))
    assert set(packed[0].detached()) == set(LOSSES.values())
    assert {"object_attribute", "attribute_category"} < set(packed[1])
    assert_equal(packed, separate, 1e-9 if attention == "sdpa" else 1e-5)  # eager softmax is always in 32 bits


def test_padding_of_texts_changes_nothing_under_paper(checkpoint: Path, tmp_path: Path) -> None:
    model = loaded(checkpoint, dtype=torch.float64)
    batch = batch_of(checkpoint, tmp_path)
    for packed, sides in ((True, (3, 2)), (True, (0, 5)), (False, (0, 5))):
        wider = {
            name: torch.nn.functional.pad(value, sides)
            if name in {f"{group}_{what}" for group in GROUPS for what in ("tokens", "mask")}
            else value
            for name, value in batch.items()
        }
        first, second = (
            stage_one_losses(model, each, temperatures=Temperatures().double(), packed=packed).total.detach()
            for each in (batch, wider)
        )
        assert float(second) == pytest.approx(float(first), rel=1e-9)


def test_a_batch_without_texts_has_the_generation_loss_alone(checkpoint: Path, tmp_path: Path) -> None:
    model = loaded(checkpoint, dtype=torch.float64)
    batch = batch_of(checkpoint, tmp_path, texts=False)
    packed, separate = (trained(model, batch, packed=packed) for packed in (True, False))
    assert set(packed[0].detached()) == {"total", "generation"}
    assert_equal(packed, separate)
    given = {name: batch[name] for name in batch if name not in {"lines", "image_rows"}}
    labels = given["labels"]
    own = model(**given).loss
    assert float(packed[0].total.detach()) == pytest.approx(float(own.detach()), rel=1e-6)  # theirs in 32 bits
    assert (labels != -100).any()


def with_adapters(checkpoint: Path) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    lora = LoraConfig(
        r=2, target_modules=r".*(text_model|language_model).*(q_proj|down_proj)$", init_lora_weights=False
    )
    model = get_peft_model(loaded(checkpoint, dtype=torch.float64), lora, autocast_adapter_dtype=False)
    return model.double().train()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_checkpointing_changes_no_number_of_adapters(checkpoint: Path, tmp_path: Path) -> None:
    model = with_adapters(checkpoint)
    batch = batch_of(checkpoint, tmp_path)
    plain = trained(model, batch)
    assert sum("lora_" in name for name in plain[1]) == 8
    family_of(model).decoder.gradient_checkpointing_enable({"use_reentrant": False})
    assert_equal(trained(model, batch), plain)


def test_compiling_changes_no_number_of_adapters(tmp_path: Path) -> None:
    checkpoint = tiny_families.llava(tmp_path / "llava")
    model = with_adapters(checkpoint)
    batch = batch_of(checkpoint, tmp_path)
    plain = trained(model, batch)
    torch._dynamo.reset()
    assert compile_layers(family_of(model).decoder, backend="eager") == 2
    assert_equal(trained(model, batch), plain)


def test_layers_share_one_compiled_program_at_any_length(tmp_path: Path) -> None:
    # A packed row on a device of shapes only: the kernel for variable lengths is traced, nothing is computed.
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    decoder = family_of(loaded(tiny_families.idefics2(tmp_path)).to("meta", torch.bfloat16)).decoder
    compile_layers(decoder, backend="aot_eager")
    for tokens, sequences in ((50, 3), (61, 5), (77, 9)):
        embedded = torch.empty(1, tokens, decoder.config.hidden_size, device="meta", dtype=torch.bfloat16)
        numbers = torch.zeros(tokens, dtype=torch.long, device="meta")
        ends = torch.zeros(sequences + 1, dtype=torch.int32, device="meta")
        row = Packed(embedded.requires_grad_(), numbers[None], numbers, ends, 20, ())
        states = decode(decoder, row, dense=False)
        states.float().sum().backward()
        assert states.shape == (tokens, decoder.config.hidden_size)
        assert row.embedded.grad is not None
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
    assert decoder.config._attn_implementation == "sdpa"


def test_packed_sequences_see_themselves_backwards_and_nothing_else() -> None:
    embedded = torch.arange(12.0).view(2, 3, 2)
    kept = torch.tensor([[True, True, False], [True, True, True]])
    row = pack([Block(embedded, kept, torch.zeros(2, 3, dtype=torch.long))])
    assert row.embedded[0].tolist() == embedded[kept].tolist()
    assert row.ends.tolist() == [0, 2, 5]
    assert row.places[0][kept].tolist() == [0, 1, 2, 3, 4]
    weights = row.mask().double().softmax(dim=-1)[0, 0]
    expected = [
        [1, 0, 0, 0, 0],
        [0.5, 0.5, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0.5, 0.5, 0],
        [0, 0, 1 / 3, 1 / 3, 1 / 3],
    ]
    assert torch.allclose(weights, torch.tensor(expected, dtype=torch.float64))
    narrow = row.mask(window=2).exp()[0, 0]
    assert narrow[4].tolist() == [0, 0, 0, 1, 1]


def test_models_are_found_in_their_wrappers_and_unknown_ones_are_named(tmp_path: Path) -> None:
    model = loaded(tiny_families.idefics2(tmp_path))
    assert unwrapped(torch.nn.DataParallel(model)) is model
    model.config.model_type = "camera"
    with pytest.raises(UsageError, match=r"models of type 'camera'\. It knows idefics2, llava"):
        family_of(model)


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("stage_one")


@pytest.mark.parametrize(
    ("parts", "measured"),
    [
        ("lora,compiled", ("straightforward", "packed", "packed, compiled")),
        ("largest,checkpointed", ("packed, compiled", "packed, compiled, checkpointed")),
        ("qlora", ("QLoRA, straightforward", "QLoRA, packed")),
    ],
)
def test_the_benchmark_runs_on_a_processor(
    benchmark: Any, parts: str, measured: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parts == "qlora":
        pytest.importorskip("bitsandbytes", reason="4-bit weights need bitsandbytes (pip install 'finedefics[qlora]')")
    command = ["stage_one.py", "--tiny", "--only", parts, "--json", str(tmp_path / "figures.json")]
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["failed"] == {}
    assert {line["what"] for line in figures["lines"] if line["stage"] == "one"} == set(measured)
    for apart in figures["apart"].values():
        assert apart["losses"] < 1e-5
        assert apart["gradients"] < 1e-4
    assert bool(figures["apart"]) == ("largest" not in parts)


def test_the_benchmark_counts_the_published_work(benchmark: Any) -> None:
    config = importlib.import_module("training_shape").configuration(tiny=False)
    both = {stage: benchmark.useful_flops(config, benchmark.FULL, "released", stage) for stage in ("one", "two")}
    assert 20e12 < both["one"] < 23e12
    assert 0.3 * both["one"] < both["two"] < 0.5 * both["one"]
