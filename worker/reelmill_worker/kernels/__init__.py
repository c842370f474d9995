"""Triton kernels, each with its plain twin."""
