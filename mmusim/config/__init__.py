"""Stage 1, Config: what a person writes, as frozen values read from TOML.

May import ``base``, ``mmu``, ``policies``, ``workload`` and ``costs``.
"""
