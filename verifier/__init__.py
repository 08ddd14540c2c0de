"""The executable specification: checks proofs of training with the standard library alone."""
