"""Compare the model with kernels and machines"""
