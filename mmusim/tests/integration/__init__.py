"""The command line, files, processes and clusters together."""
