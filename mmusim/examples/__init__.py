"""Experiments, workloads and notebooks that come with mmusim: find them, list them, copy one.

A clone has them in its top folder, an installed wheel inside this package. May import `base`.
"""

from mmusim.examples.shipped import Example, copy_example, examples

__all__ = ["Example", "copy_example", "examples"]
