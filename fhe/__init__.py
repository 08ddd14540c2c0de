"""Einsum on CKKS-encrypted tensors: parse, plan, run."""

from fhe.calls import einsum, plan
from fhe.client import Client
from fhe.errors import FheError
from fhe.inference import compile, load_layers
from fhe.plan import Plan
from fhe.program import Program
from fhe.server import Server
from fhe.spec import Encrypted, Plain, Release
from fhe.wire import EncryptedTensor

__all__ = [
    "Client",
    "Encrypted",
    "EncryptedTensor",
    "FheError",
    "Plain",
    "Plan",
    "Program",
    "Release",
    "Server",
    "compile",
    "einsum",
    "load_layers",
    "plan",
]
