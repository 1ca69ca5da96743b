"""Plugins written for a start: a complete distribution of one module, from the templates beside this file."""

from __future__ import annotations

from fgvr_bench.new_plugin.names import KINDS, Draft, draft
from fgvr_bench.new_plugin.writing import render, write

__all__ = ["KINDS", "Draft", "draft", "render", "write"]
