"""Datasets of torchvision, made by their own classes: which there are, their splits, names of classes and images."""

from __future__ import annotations

import inspect
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_datasets._own import SPLITS, tidy

PAGE = "https://docs.pytorch.org/vision/stable/datasets.html#image-classification"
PICKLED = ("CIFAR10", "CIFAR100", "LSUN", "LSUNClass")
"""Their files are pickles, which may run any code when they are read."""
OURS = {
    "FGVCAircraft": "aircraft-102",
    "Flowers102": "flower-102",
    "Food101": "food-101",
    "ImageFolder": "folder:PATH",
    "ImageNet": "imagenet-1k",
    "OxfordIIITPet": "pet-37",
    "StanfordCars": "car-196",
}
"""Datasets that are here under names of their own, whose files are compared with what was published."""
SHARED = ("root", "split", "train", "download", "loader", "transform", "target_transform", "transforms", "kwargs")
"""Arguments of a dataset's class that are no settings of a user's."""


def kinds() -> dict[str, Any]:
    """Return the classes of torchvision's datasets that may be of images with one label each, by name."""
    from fgvr_bench.engines.torchvision_ops import ensure

    ensure()
    from torchvision import datasets

    found = {name: getattr(datasets, name) for name in datasets.__all__}
    return {name: kind for name, kind in found.items() if isinstance(kind, type) and _needs(kind) == {"root"}}


def _needs(kind: Any) -> set[str]:
    """Return the arguments that a class cannot be made without; one of images and labels needs a folder alone."""
    parameters = inspect.signature(kind).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {each.name for each in parameters if each.default is each.empty and each.kind not in variadic}


def kind_called(name: str) -> tuple[str, Any]:
    """Return a class and its exact name; upper and lower case make no difference.

    Raises:
        UsageError: there is none, or one that is not read here; says what to type in its place.
    """
    every = kinds()
    exact = next((known for known in every if known.lower() == name.lower()), None)
    if exact is None:
        raise UsageError(f"torchvision has no dataset {name!r} of images and labels. {did_you_mean(name, every)}")
    if exact in OURS:
        raise UsageError(f"{exact} of torchvision is {OURS[exact]} here.", hint=f"Type: --dataset {OURS[exact]}")
    if exact in PICKLED:
        raise UsageError(
            f"the files of {exact} are pickles, which may run any code when they are read; they are not read here.",
            hint="The hub has most of them as Parquet: --dataset hf:NAME",
        )
    return exact, every[exact]


def settings_of(kind: Any) -> list[str]:
    """Return what a user may set of a class: its own arguments, for example the ``partition`` of DTD."""
    return [name for name in inspect.signature(kind).parameters if name not in SHARED and name[0] != "_"]


def read_settings(kind: Any, given: Mapping[str, str]) -> dict[str, Any]:
    """Return settings as their defaults are: whole numbers, yes or no, or text.

    Raises:
        UsageError: one is neither.
    """
    read: dict[str, Any] = {}
    for name, text in given.items():
        default = inspect.signature(kind).parameters[name].default
        if isinstance(default, bool):
            if text.lower() not in {"true", "yes", "false", "no"}:
                raise UsageError(f"{name}={text}: type yes or no.")
            read[name] = text.lower() in {"true", "yes"}
        elif isinstance(default, int):
            if not text.isdecimal():
                raise UsageError(f"{name}={text}: type a whole number.")
            read[name] = int(text)
        else:
            read[name] = text
    return read


def make(kind: Any, root: Path, split: str, settings: Mapping[str, Any], download: bool = False) -> Any | None:
    """Make the dataset of a split from the files below `root`; None where it has no such split.

    `download` lets torchvision get what is not there.

    Raises:
        DataNotFound: the files are not there, or not whole; says what torchvision says.
        DataInvalid: they are not what they claim.
        UsageError: it has no such value of a setting.
    """
    parameters = inspect.signature(kind).parameters
    shared: dict[str, Any] = {"loader": os.fspath} if "loader" in parameters else {}
    if download and "download" not in parameters:
        raise UsageError(f"torchvision cannot download {kind.__name__}.", hint=f"See: {PAGE}")
    if download:
        shared["download"] = True
    if "train" in parameters:
        ways: list[dict[str, Any]] = {"train": [{"train": True}], "test": [{"train": False}]}.get(split, [])
    elif "split" in parameters:
        ways = [{"split": name} for name in (*SPLITS.get(split, ()), split)]
    else:
        ways = [{}] if split == "test" else []
    for way in ways:
        try:
            return kind(str(root), **shared, **way, **settings)
        except ValueError as error:
            said = _first_line(error)
            if "for argument split" in said:
                continue
            if "argument" in said or "Parameter" in said:
                raise UsageError(f"{kind.__name__}: {said}.") from error
            raise DataInvalid(f"{kind.__name__} in {root} is damaged; torchvision says: {said}.") from error
        except (RuntimeError, OSError) as error:
            raise DataNotFound(f"{_first_line(error).partition('. You can ')[0]}.") from error
    return None


def class_names(made: Any) -> list[str]:
    """Return the names of the classes; their numbers where torchvision has no names."""
    names = getattr(made, "classes", None) or getattr(made, "categories", None) or ()
    return [tidy(name if isinstance(name, str) else str(name[0])) for name in names]


@dataclass(frozen=True, slots=True)
class Samples:
    """What a dataset holds: of each sample the number of its class and, where it is a file of its own, its path."""

    targets: array[int]
    paths: tuple[str, ...] | None

    @classmethod
    def of(cls, made: Any) -> Samples:
        """Go through a dataset; no image is decoded where torchvision offers a way round it.

        Raises:
            UsageError: it is none of single labels.
        """
        if len(made) == 0:
            raise DataInvalid(f"{type(made).__name__} has no images in {made.root}.")
        if hasattr(made, "loader"):
            pairs = [made[place] for place in range(len(made))]
            _check(type(made).__name__, *pairs[0])
            return cls(array("q", (target for _, target in pairs)), tuple(str(path) for path, _ in pairs))
        first = made[0]
        _check(type(made).__name__, *first)
        known = (getattr(made, name, None) for name in ("targets", "labels", "y"))
        whole = next((found for found in known if found is not None and len(found) == len(made)), None)
        targets = whole if whole is not None else [first[1], *(made[place][1] for place in range(1, len(made)))]
        return cls(array("q", (int(target) for target in targets)), None)


def _check(name: str, image: Any, target: Any = None, *others: Any) -> None:
    from PIL.Image import Image

    if others or not isinstance(image, Image | str | os.PathLike) or not isinstance(target, int):
        raise UsageError(f"{name} of torchvision is no dataset of images with one label each.")


@dataclass(frozen=True, slots=True)
class SampleImage:
    """An image that torchvision holds in memory, or decodes itself; its pixels travel as they are."""

    made: Any
    number: int

    def read(self) -> bytes:
        """Return the pixels as a PGM or PPM file.

        Raises:
            OSError: torchvision cannot read it.
        """
        image = self.made[self.number][0]
        if image.mode != "L":
            image = image.convert("RGB")
        kind = "P5" if image.mode == "L" else "P6"
        return f"{kind} {image.width} {image.height} 255\n".encode() + bytes(image.tobytes())


def below(root: Path, paths: Sequence[str]) -> list[str]:
    """Return paths as they are below `root`, with forward slashes.

    Raises:
        DataInvalid: one leads elsewhere.
    """
    found = [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]
    odd = next((path for path in found if path.partition("/")[0] == ".."), None)
    if odd is not None:
        raise DataInvalid(f"a list of {root} names {odd}, which does not lie in it.")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
