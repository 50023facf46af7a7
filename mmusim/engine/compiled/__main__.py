"""Compile the engine for this machine, unless that has been done: ``python -m``."""

from mmusim.engine.choice import COMPILED, prepare

prepare(COMPILED)
