"""Errors that a user of the prover can cause. Each names the place and the numbers, and says what to do."""


class ProverError(Exception):
    """Root of the prover's errors."""


class InputInvalid(ProverError):
    """Data, weights or options that cannot be used: shapes, types, non-finite numbers, labels, empty files."""


class OutOfRange(ProverError):
    """A value left its declared fixed-point range; the message names step, layer, tensor and the bits needed."""


class WitnessUnsatisfied(ProverError):
    """The trace does not satisfy the relation: a constraint, its place and both numbers."""


class CommitmentMismatch(ProverError):
    """Secrets (values, blinds, salts) that do not open the root in the statement."""


class BudgetExhausted(ProverError):
    """A commitment has no unused opening slot left."""


class OutOfMemory(ProverError):
    """A proof of even the shortest segment needs more memory than it may use, or the GPU's memory is full."""


class RunFolderError(ProverError):
    """A run folder that is missing, incomplete, of another version, or not writable."""


class DeviceUnavailable(ProverError):
    """A GPU was asked for and there is none that can be used: no CuPy, no driver, no device, or one too old."""


class DeviceLost(ProverError):
    """The GPU failed in the middle of the work, of which nothing was kept: it can be done again."""
