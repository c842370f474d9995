"""The model as pure functions over a resident: text, noise, transformer, decoder. Knows no farm.

It imports kernels, and of common jobs, profiles, text and errors.
"""
