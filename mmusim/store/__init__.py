"""Run directories: every run of an experiment with its result, its state and its provenance.

``ledger`` is the SQLite file that runs are written to. ``owners`` says which processes work on it.
``repair`` mends it. May import ``config``, ``metrics`` and what is below.
"""

from mmusim.store.ledger import Store as Store
from mmusim.store.record import Key as Key
from mmusim.store.schema import FORMAT as FORMAT
from mmusim.store.schema import LEDGER as LEDGER
from mmusim.store.schema import StoreError as StoreError
