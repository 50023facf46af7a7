"""A run moment by moment: recorded from an engine, written for the Perfetto UI.

May import ``engine``, ``trace`` and what is below.
"""

from mmusim.timeline.record import Timeline

__all__ = ["Timeline"]
