"""QEMU's migration thread: rounds, bandwidth, throttles, switch-over and post-copy.

May import :mod:`mmusim.engine.host` and below.
"""
