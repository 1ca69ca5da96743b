"""imagenet-1k: ImageNet of the challenge of 2012 (Russakovsky et al. 2015), its validation images as the test split."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import image_files, read_lines, read_mat
from fgvr_bench.core.listing import FileRow
from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin
from fgvr_datasets._imagenet import SYNSET, SynsetDataset, SynsetPlugin

CARD = DatasetCard(
    name="imagenet-1k",
    title="ImageNet (ILSVRC 2012)",
    noun="choices",
    classes=1000,
    images={"test": 50_000, "train": 1_281_167},
    licence="non-commercial research and education only (ImageNet)",
    citation="""@article{ILSVRC15,
  author  = {Olga Russakovsky and Jia Deng and Hao Su and Jonathan Krause and Sanjeev Satheesh and Sean Ma and
             Zhiheng Huang and Andrej Karpathy and Aditya Khosla and Michael Bernstein and Alexander C. Berg and
             Li Fei-Fei},
  title   = {{ImageNet Large Scale Visual Recognition Challenge}},
  journal = {International Journal of Computer Vision},
  year    = {2015},
  volume  = {115},
  number  = {3},
  pages   = {211--252}
}""",
    homepage="https://image-net.org/challenges/LSVRC/2012/",
    aliases=("imagenet",),
    in_all=False,
    by_hand="""ImageNet is given to people who agree to its terms, so a person has to fetch it:
from https://image-net.org/download-images.php, ILSVRC2012_img_val.tar (6.3 GB) and ILSVRC2012_devkit_t12.tar.gz, and
for training ILSVRC2012_img_train.tar; or https://www.kaggle.com/c/imagenet-object-localization-challenge.
Unpack them side by side, as val/, ILSVRC2012_devkit_t12/ and train/n01440764/ ..., into""",
)
TRUTHS = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
"""The official list: line ``i`` has the number of the class of validation image ``i``, and ``meta.mat`` the numbers."""
SOLUTION = "LOC_val_solution.csv"
"""That of the copy at Kaggle: ``ImageId,PredictionString``, where the second begins with a synset."""


class ImageNet(SynsetDataset):
    """The 1,000 classes; validation images lie in folders by class, or side by side, with a list of what they show."""

    def remarks(self) -> Sequence[str]:
        """Say what stands for the test split."""
        return ["its test split is the official validation split, for what the test images show was never published"]

    def rows(self, split: str) -> Iterator[FileRow]:
        """Yield the images in folders by class; for those that lie side by side look into the list beside them."""
        flat = sorted(name for _, name in image_files(self.folders[split], depth=0)) if split == "test" else []
        if not flat:
            yield from super().rows(split)
            return
        shown = self._listed()
        for name in flat:
            synset, where = shown.get(name.partition(".")[0], ("", str(self.folders[split] / name)))
            yield FileRow("", name, self.name_of(synset, where), where)

    def _listed(self) -> Mapping[str, tuple[str, str]]:
        """Return image → its synset, with the file and line that says so."""
        for base in (self.root, *self.root.parents[:2]):
            if (base / TRUTHS).is_file():
                return _official(base / TRUTHS)
            if (base / SOLUTION).is_file():
                return _kaggle(base / SOLUTION)
        raise DataNotFound(
            f"the images in {self.folders['test']} lie side by side, and nothing says what they show.",
            hint=f"Unpack ILSVRC2012_devkit_t12.tar.gz beside that folder (or put Kaggle's {SOLUTION} there).",
        )


def _official(truths: Path) -> Mapping[str, tuple[str, str]]:
    meta = truths.with_name("meta.mat")
    (rows,) = read_mat(meta, "synsets")
    if not {"ILSVRC2012_ID", "WNID"} <= set(rows.dtype.names or ()):
        raise DataInvalid(f"{meta} has no ILSVRC2012_ID and WNID in its synsets.", hint="Unpack the devkit again.")
    try:
        synsets = {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in rows}
    except (TypeError, ValueError) as error:
        raise DataInvalid(f"{meta} has a synset whose number is none.", hint="Unpack the devkit again.") from error
    shown = {}
    for number, (line, text) in enumerate(read_lines(truths), 1):
        if text not in synsets:
            raise DataInvalid(f"{truths}, line {line} is {text!r}; {meta} has no class of that number.")
        shown[f"ILSVRC2012_val_{number:08d}"] = (synsets[text], f"{truths}, line {line}")
    return shown


def _kaggle(solution: Path) -> Mapping[str, tuple[str, str]]:
    shown = {}
    for line, text in read_lines(solution):
        image, _, boxes = text.partition(",")
        said = boxes.partition(" ")[0]
        if line > 1 and not SYNSET.fullmatch(said):
            raise DataInvalid(f"{solution}, line {line} is {text[:60]!r}; expected an image, a comma and a synset.")
        shown[image] = (said, f"{solution}, line {line}")
    return shown


class ImageNetPlugin(SynsetPlugin):
    """ImageNet of 2012."""

    card = CARD
    folders = ("imagenet", "ImageNet", "ILSVRC2012", "ILSVRC", "imagenet-object-localization-challenge")
    inner: Mapping[str, tuple[str, ...]] = {
        "test": ("val", "validation", "ILSVRC2012_img_val", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", ""),
        "train": ("train", "ILSVRC2012_img_train", "ILSVRC/Data/CLS-LOC/train", "Data/CLS-LOC/train"),
    }
    called: Mapping[str, re.Pattern[str]] = {
        "test": re.compile(r"ILSVRC2012_val_\d{8}\.\w+"),
        "train": re.compile(r"n\d{8}_\d+\.\w+"),
    }
    keyed_by_path = False
    dataset = ImageNet


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register imagenet-1k."""
    register(ImageNetPlugin())
