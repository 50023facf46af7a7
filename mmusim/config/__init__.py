"""Stage 1, Config: experiment files and host profiles, as frozen values read from TOML.

May import ``costs`` and what is below.
"""
