"""Threads of the host beside a run: page aging, and those that other packages add.

An installed package adds actors through the entry point group ``mmusim.actors``. They are SimPy
processes in both engines. May import ``base``.
"""

from mmusim.actors import aging as aging
from mmusim.actors.base import GROUP, Actor, HostView, Steps, actor_named, actors, load_outside
from mmusim.base.quantities import Count, Share, Size, Time

load_outside()

__all__ = [
    "GROUP",
    "Actor",
    "Count",
    "HostView",
    "Share",
    "Size",
    "Steps",
    "Time",
    "actor_named",
    "actors",
]
