"""Who makes the runs: worker processes, a Dask cluster, and how far they are.

May import ``store``, ``engine``, ``metrics`` and what is below.
"""
