"""Costs: how long operations of guest, host and VMM take. Names follow section H of the domain.

A host profile gives a value for each cost. A cost that it leaves out takes the default of this
vocabulary, the reference value for a server of 2.7 GHz, with the provenance assumed. The numbers
follow the order of the imports below.
"""

from __future__ import annotations

from typing import Final

from mmusim.vocabulary import guest_costs as guest_costs
from mmusim.vocabulary import host_costs as host_costs
from mmusim.vocabulary import machine_costs as machine_costs
from mmusim.vocabulary.cost import COSTS as COSTS

VCPU_COSTS: Final = {name: n for n, (name, cost) in enumerate(COSTS.items()) if cost.by_vcpu}
"""Costs that vCPUs draw from streams of their own, with their numbers."""
