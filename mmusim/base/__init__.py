"""The lowest layer: units, quantities, messages, files, histogram, the hash of the model's code.

Imports nothing of mmusim.
"""
