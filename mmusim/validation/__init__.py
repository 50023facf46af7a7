"""Predicting times that kernel engineers published, from few of them."""
