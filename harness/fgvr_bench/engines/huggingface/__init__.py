"""The one engine for all image-text-to-text models of transformers; a family is a declaration on top of it.

========================  ==============================================================================
`plugin.HuggingFacePlugin`  what a family declares; identifies and loads a checkpoint
`placing`                   several GPUs, main memory, disk, 4 and 8 bits
`loading`                   processor and weights, with errors that say what to type
`preparing`                 chat template, image processing and padding, in worker processes
`decoding`                  the greedy loop: rows end one by one and leave the batch
`answers`                   which tokens the letters are
`model`                     the loaded model that answers batches
========================  ==============================================================================
"""

from fgvr_bench.engines.huggingface.plugin import HuggingFacePlugin
from fgvr_bench.engines.huggingface.templates import Template

__all__ = ["HuggingFacePlugin", "Template"]
