"""Ground floor: units, quantities, messages, files, the histogram, the hash of the model's code.

Imports nothing of mmusim.
"""
