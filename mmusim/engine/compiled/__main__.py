"""Compile the engine for this machine, unless it is compiled already: ``python -m``."""

from mmusim.engine.choice import COMPILED, prepare

prepare(COMPILED)
