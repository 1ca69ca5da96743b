"""imagenet-a: ImageNet-A(dversarial), photographs that classifiers mistake (Hendrycks et al. 2021)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._imagenet import SynsetPlugin

CARD = DatasetCard(
    name="imagenet-a",
    title="ImageNet-A(dversarial)",
    noun="choices",
    classes=200,
    images={"test": 7_500},
    licence="MIT",
    citation="""@inproceedings{hendrycks2021natural,
  author    = {Dan Hendrycks and Kevin Zhao and Steven Basart and Jacob Steinhardt and Dawn Song},
  title     = {Natural Adversarial Examples},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2021}
}""",
    homepage="https://github.com/hendrycks/natural-adv-examples",
    aliases=("imagenet-adversarial",),
    in_all=False,
    downloads=(
        Download(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
            "md5:c3e55429088dc681f30d81f4726b6595",
            687_552_512,
        ),
    ),
)


class ImageNetAPlugin(SynsetPlugin):
    """ImageNet-A."""

    card = CARD
    folders = ("imagenet-adversarial", "imageneta")
    inner: Mapping[str, tuple[str, ...]] = {"test": ("",)}
    called: Mapping[str, re.Pattern[str]] = {"test": re.compile(r"\d+\.\d+_.+")}
    """After a number, names say what was taken for what: ``0.001489_shovel _ shovel_0.73690397.jpg``."""


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register imagenet-a."""
    register(ImageNetAPlugin())
