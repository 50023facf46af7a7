"""The model against measurements: published times, and those of a live machine.

May import ``kvm``, ``experiment`` and what is below.
"""
