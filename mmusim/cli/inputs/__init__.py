"""List what there is to use"""
