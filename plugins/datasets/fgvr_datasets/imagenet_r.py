"""imagenet-r: ImageNet-R(endition), art and toys of 200 ImageNet classes (Hendrycks et al. 2021)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._imagenet import SynsetPlugin

CARD = DatasetCard(
    name="imagenet-r",
    title="ImageNet-R(endition)",
    noun="choices",
    classes=200,
    images={"test": 30_000},
    licence="not stated by its authors",
    citation="""@inproceedings{hendrycks2021many,
  author    = {Dan Hendrycks and Steven Basart and Norman Mu and Saurav Kadavath and Frank Wang and Evan Dorundo and
               Rahul Desai and Tyler Zhu and Samyak Parajuli and Mike Guo and Dawn Song and Jacob Steinhardt and
               Justin Gilmer},
  title     = {The Many Faces of Robustness: A Critical Analysis of Out-of-Distribution Generalization},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2021}
}""",
    homepage="https://github.com/hendrycks/imagenet-r",
    aliases=("imagenet-rendition",),
    in_all=False,
    downloads=(
        Download(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
            "md5:a61312130a589d0ca1a8fca1f2bd3337",
            2_200_000_000,
        ),
    ),
)


class ImageNetRPlugin(SynsetPlugin):
    """ImageNet-R."""

    card = CARD
    folders = ("imagenet-rendition", "imagenetr")
    inner: Mapping[str, tuple[str, ...]] = {"test": ("",)}
    called: Mapping[str, re.Pattern[str]] = {"test": re.compile(r"[a-z]+_\d+\.jpg")}


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register imagenet-r."""
    register(ImageNetRPlugin())
