"""Built-in option miners."""
