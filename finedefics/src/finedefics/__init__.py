"""Finedefics: two-stage training for fine-grained recognition (ICLR 2025), as a plugin of fgvr-bench."""

from __future__ import annotations

__version__ = "0.1.0"
