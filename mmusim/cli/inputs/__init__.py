"""See what there is to use"""
