"""One module for each family of heads; its ``FAMILY`` is the adapter. The registry imports every module here.

A new family is one file here, and an entry of its head in tests/core/detectors/tiny.py, by which its boxes are compared
with PyTorch's and it goes the whole way with 8 bits.
"""
