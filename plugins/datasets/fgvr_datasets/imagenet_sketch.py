"""imagenet-sketch: ImageNet-Sketch, drawings of the 1,000 classes (Wang et al. 2019)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin
from fgvr_datasets._imagenet import SynsetPlugin

CARD = DatasetCard(
    name="imagenet-sketch",
    title="ImageNet-Sketch",
    noun="choices",
    classes=1000,
    images={"test": 50_889},
    licence="MIT",
    citation="""@inproceedings{wang2019learning,
  author    = {Haohan Wang and Songwei Ge and Zachary Lipton and Eric P. Xing},
  title     = {Learning Robust Global Representations by Penalizing Local Predictive Power},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2019}
}""",
    homepage="https://github.com/HaohanWang/ImageNet-Sketch",
    in_all=False,
    by_hand="""Its authors keep the archive where a program cannot fetch it, so a person has to:
open https://github.com/HaohanWang/ImageNet-Sketch, follow the link, download ImageNet-Sketch.zip (7.8 GB), unpack it,
and put its folder sketch/ into""",
)


class ImageNetSketchPlugin(SynsetPlugin):
    """ImageNet-Sketch."""

    card = CARD
    folders = ("sketch", "ImageNet-Sketch", "imagenet_sketch", "imagenetsketch")
    inner: Mapping[str, tuple[str, ...]] = {"test": ("sketch", "")}
    called: Mapping[str, re.Pattern[str]] = {"test": re.compile(r"sketch_\d+\.JPEG")}


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register imagenet-sketch."""
    register(ImageNetSketchPlugin())
