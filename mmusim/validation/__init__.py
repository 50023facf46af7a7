"""The model against measurements: published times, and a live machine's.

May import ``kvm``, ``experiment`` and what is below.
"""
