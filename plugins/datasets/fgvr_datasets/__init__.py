"""Bundled dataset plugins, one file a dataset."""
