"""List what you can use"""
