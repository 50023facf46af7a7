"""Workloads: one file per access pattern.

A pattern is a frozen value with parameters and units. It turns a vCPU's share of memory and a
stream of random numbers into gfns and writes. May import ``base``.
"""
