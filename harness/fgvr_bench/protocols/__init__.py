"""Built-in protocols: how questions are asked, ordered, parsed and scored."""
