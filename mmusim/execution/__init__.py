"""Who makes the runs: worker processes or a Dask cluster; and the progress of the runs.

May import ``store``, ``engine``, ``metrics`` and what is below.
"""
