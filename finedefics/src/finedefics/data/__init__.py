"""Training data: descriptions of images by their attributes, and the files that training reads.

`finedefics.data.describing.describe` makes the descriptions with models, `finedefics.data.metadata` takes them
from a dataset that has them, and `finedefics.data.building.build_data` makes the CSV files of both stages.
"""

from __future__ import annotations
