"""Benchmarks, each printed beside the floor it is measured against."""
