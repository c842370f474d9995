"""Triton kernels, each with its plain twin.

It imports torch and Triton only.
"""
