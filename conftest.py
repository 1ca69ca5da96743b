"""The one thing that has to happen before pytest collects anything."""

from __future__ import annotations

import contextlib

# pytest names a test module after its path, so `finedefics/tests/test_x.py` is `finedefics.tests.test_x`, and
# an empty module `finedefics` would take the package's place in this process. One that is there stays.
with contextlib.suppress(ImportError):  # the wheel of fgvr-bench is tested without it
    import finedefics  # noqa: F401
