"""List, show, import and record workloads."""
