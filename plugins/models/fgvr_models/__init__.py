"""Bundled model plugins, one file a family."""
