"""One model plugin and one dataset plugin, as small as they can be and whole."""
