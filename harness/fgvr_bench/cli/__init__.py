"""The command line: parse, look up, call one function, echo."""
