"""Hold the model against kernels and machines"""
