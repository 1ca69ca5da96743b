"""The paper in miniature: a tiny Idefics2 in the paper's situation, made by one command (``docs/miniature.md``)."""
