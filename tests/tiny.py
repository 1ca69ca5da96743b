"""Builders of tiny checkpoints: real classes, real processors, random weights, saved to a folder."""

from __future__ import annotations

import json
from pathlib import Path

from fgvr_bench.engines import torchvision_ops


def clip(folder: Path, seed: int = 0) -> Path:
    """Save a two-layer open_clip model (64-dimensional, 32-pixel images) in open_clip's folder layout."""
    torchvision_ops.ensure()
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    model_cfg = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    torch.manual_seed(seed)
    model = CLIP(**model_cfg)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
