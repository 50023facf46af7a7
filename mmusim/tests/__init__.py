"""Tests; no module of them imports another one. What they share lies in `support`.

Assertions of `support` are explained as those of tests are.
"""

import pytest

pytest.register_assert_rewrite("mmusim.tests.support")
