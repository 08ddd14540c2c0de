"""Einsum on CKKS-encrypted tensors: parse, plan, run."""
