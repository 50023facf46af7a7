"""Look at one run"""
