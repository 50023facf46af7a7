"""Makes the runs in worker processes or on a Dask cluster, and shows their progress.

May import ``store``, ``engine``, ``metrics`` and what is below.
"""
