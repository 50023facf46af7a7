"""From samples of a machine to its host profile. It runs without the machine.

May import ``engine``, ``config`` and what is below.
"""
