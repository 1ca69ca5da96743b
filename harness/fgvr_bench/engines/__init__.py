"""Engines that model plugins are declared on: one for all Hugging Face models, one for contrastive ones."""
