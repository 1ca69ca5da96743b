"""The base model of the miniature: lessons that keep names from pictures, tokens as evaluated, training that learns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from fgvr_bench.engines import torchvision_ops
from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_bench.types import Prompt
from fgvr_datasets._moth_species import BY_LABEL, GENERA, SPECIES, describe
from fgvr_datasets.moth_24 import Moth24, anonymous_moths

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "miniature").is_dir():
    pytest.skip("benchmarks are in the repository only", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks.miniature import architecture, base, batches, gates, images, lessons, words  # noqa: E402

MOTHS = [moth.attributes for moth in anonymous_moths(200)]


def all_lessons(rounds: int) -> tuple[list[lessons.Lesson], list[lessons.Lesson]]:
    chance = Random("tests")
    seeing = [make(chance, chance.choice(MOTHS)) for make in lessons.SEEING for _ in range(rounds)]
    knowing = [tell(chance, chance.choice(SPECIES)) for tell in lessons.KNOWING for _ in range(rounds)]
    return seeing, knowing


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return architecture.make_tokenizer(base.known_texts())


@pytest.fixture(scope="module")
def processor(tokenizer: Any) -> Any:
    return architecture.make_processor(tokenizer)


@pytest.fixture(scope="module")
def training() -> ModuleType:
    torchvision_ops.ensure()
    from benchmarks.miniature import training

    return training


def small(tokenizer: Any, seed: int = 0) -> Any:
    return architecture.make_model(architecture.make_config(len(tokenizer), hidden=32, layers=2), seed)


def test_no_picture_meets_an_epithet() -> None:
    seeing, knowing = all_lessons(300)
    said = {word for lesson in seeing for word in f"{lesson.question} {lesson.answer}".replace(".", " ").split()}
    epithets = {word for epithet in words.EPITHETS for word in epithet.split()}
    assert len(epithets) == 24
    assert not said & epithets
    assert {genus.name for genus in GENERA} <= said
    assert epithets <= {word for lesson in knowing for word in f"{lesson.question} {lesson.answer}".split()}


def test_lessons_of_the_guide_say_what_the_guide_says() -> None:
    chance = Random(0)
    for species in SPECIES:
        assert lessons.tell_attributes(chance, species).answer == Moth24().description(species.label)
        for make, right in ((lessons.choose_name, species.label), (lessons.choose_text, describe(species))):
            lesson = make(chance, species)
            assert f"\n{lesson.answer}. {right}\n" in lesson.question
        values = words.species_values(species)
        assert words.sentence(species.attributes(species.genus.variants[0]), list(values)[2:]) == describe(species)


def test_a_choice_of_descriptions_has_one_that_fits() -> None:
    chance = Random(1)
    for moth in MOTHS:
        lesson = lessons.choose_description(chance, moth)
        offered = [line[3:] for line in lesson.question.splitlines() if line[1:3] == ". "]
        shown = [names for names in _pairs() if words.sentence(moth, names) in offered]
        assert len(set(offered)) == 4
        assert any(offered["ABCD".index(lesson.answer)] == words.sentence(moth, names) for names in shown)


def _pairs() -> list[list[str]]:
    return [[one, two] for one in words.DETAILS for two in words.DETAILS if one != two]


def test_the_genus_of_an_anonymous_moth_is_that_of_its_wings() -> None:
    for species in SPECIES:
        assert words.genus_of(species.attributes(species.genus.variants[0])) is species.genus
    assert 0.1 < sum(map(lessons.has_genus, MOTHS)) / len(MOTHS) < 0.4


def test_prompts_are_those_of_the_processor_with_and_without_a_space_after_the_picture(processor: Any) -> None:
    from PIL import Image

    tokenizer = processor.tokenizer
    question = "Which of these moths is shown in the image?\nChoices:\nA. Dale Carpet\nB. Iona Tussock\nAnswer."
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    given = processor(text=[text], images=[[Image.new("RGB", (192, 192))]], return_tensors="pt")
    ours = batches.prompt_text(question, picture=True)
    assert given["input_ids"][0].tolist() == tokenizer(ours)["input_ids"]
    spaced = ours.replace("<fake_token_around_image>Which", "<fake_token_around_image> Which")
    assert spaced != ours
    assert tokenizer(spaced)["input_ids"] == tokenizer(ours)["input_ids"]
    assert given["pixel_values"].shape == (1, 1, 3, 96, 96)
    answered = processor.apply_chat_template(
        [*turns, {"role": "assistant", "content": [{"type": "text", "text": "B"}]}]
    )
    whole = batches.collate(tokenizer, [lessons.Lesson(question, "B")], [0], multiple=1).tokens[0].tolist()
    assert tokenizer(answered.replace("<image>", batches.PICTURE))["input_ids"][: len(whole)] == whole


def test_words_of_the_lessons_are_tokens_and_everything_else_is_spelt(tokenizer: Any) -> None:
    seeing, knowing = all_lessons(20)
    for lesson in [*seeing, *knowing]:
        text = f"{lesson.question} {lesson.answer}"
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(tokens) == text
        assert len(tokens) <= len(text.replace("\n", " \n ").replace(".", " .").split()) + 20
    for text in ("Black_footed_Albatross", "F-16A/B", "Answer: B) no!"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert all(len(tokenizer(f" {letter}", add_special_tokens=False)["input_ids"]) == 1 for letter in "ABCD")
    assert len(tokenizer) < 400


def test_a_batch_follows_from_seed_and_number_and_its_labels_are_the_answers(tokenizer: Any) -> None:
    import numpy as np

    first = batches.Lessons(tokenizer, MOTHS, seed=3, length=5, seeing=12, knowing=4)
    again = batches.Lessons(tokenizer, MOTHS, seed=3, length=9, seeing=12, knowing=4)
    other = batches.Lessons(tokenizer, MOTHS, seed=4, length=5, seeing=12, knowing=4)
    batch = first[2]
    assert np.array_equal(batch.tokens, again[2].tokens)
    assert not np.array_equal(batch.tokens[:, :40], other[2].tokens[:, :40])
    assert batch.tokens.shape[0] == 16
    assert batch.moths.shape == (12,)
    pictures = (batch.tokens == architecture.IMAGE_TOKEN).sum(1)
    assert pictures.tolist() == [architecture.LATENTS] * 12 + [0] * 4
    for tokens, labels in zip(batch.tokens, batch.labels, strict=True):
        told = labels[labels != batches.IGNORED]
        assert told[-1] == architecture.END_OF_UTTERANCE
        text = tokenizer.decode(tokens)
        assert text.split("Assistant:")[1].split("<end_of_utterance>")[0].strip() == tokenizer.decode(told[:-1]).strip()


def test_the_model_is_an_idefics2_of_at_most_two_and_a_half_million_parameters(tokenizer: Any) -> None:
    import torch

    config = architecture.make_config(len(tokenizer))
    model = architecture.make_model(config, 0)
    assert type(model).__name__ == "Idefics2ForConditionalGeneration"
    assert sum(parameter.numel() for parameter in model.parameters()) <= 2_500_000
    assert type(model.model.vision_model.embeddings).__name__ == "TablePositions"
    assert torch.unique(model.model.connector.perceiver_resampler.latents, dim=0).shape == (16, 128)


def test_the_loss_without_a_mask_is_the_stock_loss_with_one(tokenizer: Any, training: ModuleType) -> None:
    import torch

    batch = batches.Lessons(tokenizer, MOTHS, seed=0, length=1, seeing=3, knowing=3)[0]
    model, chance = small(tokenizer), torch.Generator().manual_seed(0)
    pixels = torch.rand(3, 3, 96, 96, generator=chance)
    tokens, labels = torch.from_numpy(batch.tokens), torch.from_numpy(batch.labels)
    ours = training.answer_losses(model, tokens, labels, pixels).mean()
    stock = model(input_ids=tokens, attention_mask=(tokens != 0).long(), pixel_values=pixels[:, None], labels=labels)
    assert ours.item() == pytest.approx(stock.loss.item(), rel=1e-5)


def test_pictures_are_scaled_as_the_processor_scales_them(processor: Any, training: ModuleType) -> None:
    import torch
    from PIL import Image

    moth = anonymous_moths(1)[0].image
    ours = training.Pictures(images.draw([moth], 1), "cpu")
    stock = processor.image_processor(Image.fromarray(moth.pixels()), return_tensors="pt")["pixel_values"][0]
    assert (ours.take(torch.tensor([0])) - stock).abs().max() < 0.02


def test_a_varied_picture_is_the_same_moth_mirrored_or_moved_a_little(training: ModuleType) -> None:
    import torch

    ours = training.Pictures(images.draw([anonymous_moths(1)[0].image], 1), "cpu")
    plain = ours.take(torch.tensor([0]))
    many = ours.vary(torch.zeros(64, dtype=torch.long), torch.Generator().manual_seed(0))
    apart = torch.stack([(many - plain).abs().amax((1, 2, 3)), (many - plain.flip(-1)).abs().amax((1, 2, 3))], 1)
    same, mirrored = (apart < 1e-4).sum(0).tolist()
    assert 5 < same < 30
    assert 5 < mirrored < 30
    assert ((many - plain).abs().mean((1, 2, 3)).minimum((many - plain.flip(-1)).abs().mean((1, 2, 3))) < 0.3).all()


def test_lessons_are_learnt_and_the_encoder_sees(tokenizer: Any, training: ModuleType) -> None:
    import torch

    moths = images.anonymous(64, 1, None)
    pictures = training.Pictures(moths.pixels, "cpu")
    model = small(tokenizer)
    log = training.Report("see", lines=20)
    training.see(model, pictures, moths.attributes, training.Pace(20, 64, 5e-3), 0, log)
    seen = [[float(figure.split()[1]) for figure in line.split(": ")[1].split(", ")[:9]] for line in log.log]
    assert sum(map(sum, seen[-3:])) < 0.95 * sum(map(sum, seen[:3]))
    course = batches.Lessons(tokenizer, moths.attributes, seed=0, length=20, seeing=8, knowing=8)
    log = training.Report("learn", lines=20)
    training.learn(model, pictures, batches.loader(course, 0), training.Pace(20, 16, 5e-3), 0, log)
    losses = [float(line.split("loss ")[1].split()[0]) for line in log.log]
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_a_gate_is_passed_from_its_least_share_and_within_the_interval_of_chance() -> None:
    assert gates.Gate("seen", 90, 100, least=0.9).passed
    assert not gates.Gate("seen", 89, 100, least=0.9).passed
    assert gates.Gate("siblings", 138, 480, chance=0.25).passed  # 28.75 %, the interval ends at 28.9 %
    assert not gates.Gate("siblings", 140, 480, chance=0.25).passed
    assert not gates.Gate("siblings", 100, 480, chance=0.25).passed
    table = gates.gate_table([gates.Gate("siblings", 120, 480, chance=0.25), gates.Gate("told", 1, 2)])
    assert "| siblings | 120/480 | 25.0% | 25% ± 3.9% | passed |" in table
    assert "| told | 1/2 | 50.0% |  |  |" in table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a base model with the command, at toy scale."""
    folder = tmp_path_factory.mktemp("miniature") / "base"
    toy = "--moths=40 --see-steps=2 --learn-steps=2 --batch=8 --hidden=32 --layers=1 --validation=1 --processes=2"
    command = [sys.executable, "-m", "benchmarks.miniature", "base", f"--out={folder}", f"--cache={folder.parent}"]
    done = subprocess.run([*command, *toy.split()], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr  # two steps teach nothing, and the command says so
    assert "MISSED" in done.stdout
    return folder


def test_the_command_writes_a_checkpoint_and_its_card(made: Path) -> None:
    card = (made / "README.md").read_text(encoding="utf-8")
    assert "python -m benchmarks.miniature base --out=" in card
    assert "| seed | 0 |" in card
    assert "siblings: four names of a genus" in card
    facts = json.loads((made / "made.json").read_text())["facts"]
    assert f"{(made / 'model.safetensors').stat().st_size:,} bytes" in facts["weights"]


def test_a_last_stage_goes_on_from_a_checkpoint_and_leaves_its_encoder(made: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    toy = "--moths=40 --learn-steps=2 --batch=8 --genus-share=1 --validation=1 --processes=1"
    command = [sys.executable, "-m", "benchmarks.miniature", "base", f"--from={made}", f"--out={tmp_path / 'next'}"]
    command += [f"--cache={made.parent}", *toy.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert (
        "| before: command | `python -m benchmarks.miniature base --out=" in (tmp_path / "next/README.md").read_text()
    )
    before, after = (load_file(folder / "model.safetensors") for folder in (made, tmp_path / "next"))
    changed = {name for name in before if not before[name].equal(after[name])}
    assert any(name.startswith("model.text_model") for name in changed)
    assert not any("vision_model" in name for name in changed)


def test_made_up_names_are_no_species_and_hold_words_of_the_guide() -> None:
    chance = Random(3)
    made_up = {lessons.made_up_epithet(chance) for _ in range(2000)}
    assert set(words.WORDS) | set(words.STRANGERS) <= made_up
    assert not {word for epithet in words.EPITHETS for word in epithet.split()} & {
        word for epithet in made_up for word in epithet.split()
    }


def test_the_checkpoint_answers_the_harness_as_it_answers_its_gates(made: Path, training: ModuleType) -> None:
    from PIL import Image

    from fgvr_models.idefics2 import IDEFICS2

    settings = ModelSettings(checkpoint=str(made), device="cpu", dtype="float32", decoding=Decoding("generate", 12))
    harness = IDEFICS2.load(settings)
    examples = list(Moth24().examples("validation"))[::40]
    asked = [lessons.tell_part(Random(number), MOTHS[number]) for number in range(len(examples))]
    prompts = [Prompt(e.example_id, e.image, q.question, (), ()) for e, q in zip(examples, asked, strict=True)]
    items = [
        harness.preparer.item(p, Image.fromarray(e.image.pixels())) for p, e in zip(prompts, examples, strict=True)
    ]
    theirs = [response.completion for response in harness.respond(prompts, harness.preparer.batch(items))]
    pixels = images.draw([example.image for example in examples], 1)
    asker = gates.Asker(base.load(made, "cpu"), harness.preparer.processor.tokenizer, training.Pictures(pixels, "cpu"))
    longest = [lessons.Lesson(question.question, "a " * 8) for question in asked]
    ours = asker.answers(longest, list(range(len(examples))))
    assert [answer[:20] for answer in ours] == [str(answer)[:20] for answer in theirs]


def test_all_names_are_in_the_gates_questions() -> None:
    assert set(BY_LABEL) == set(Moth24().labels())
    for species in SPECIES:
        assert len({other.genus.name for other in words.siblings(species)}) == 1
        assert len(words.siblings(species)) == 4
