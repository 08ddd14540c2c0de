# %% [markdown]
# # A proof of training, in a notebook
#
# Open this file as a notebook (VS Code, Jupytext and Spyder know the cell marks), or run it with Python from the root
# of the checkout. It trains on 1,797 images of digits, proves the training, and checks the proof as a stranger would.

# %%
from pathlib import Path

import numpy as np

from api.saving import save_run
from prover import prove, train
from verifier import VerifierError, verify

table = np.loadtxt("examples/data/digits.csv.gz", delimiter=",", skiprows=1)
images, labels = table[:, :64], table[:, 64].astype(int)
images.shape, labels.shape

# %% [markdown]
# `train` takes arrays (or the path of a CSV). It commits to data and first weights, draws the order of the batches from
# the commitments, and trains in exact integers. The last 297 images stay out, to see how well the network does.
#
# Pixels go from 0 to 16. `scale="auto"`, the default, divides all of them by the largest. Columns in units of their
# own, such as ages beside prices, want `scale="standard"`.

# %%
run = train(images[:1500], labels[:1500], layers=(64, 32, 10), batch=32, steps=64, lr=0.25, loss="ce")
run

# %%
run.evaluate(images[1500:], labels[1500:])

# %%
run.predict(images[1500:1508]), labels[1500:1508]

# %% [markdown]
# Before proving: what it will take, how the chance of a false proof adds up, how large each integer can become.

# %%
run.plan

# %% [markdown]
# The proof. It says nothing about images or weights but what the statement says. Each proof spends one opening of the
# commitments, which the run counts.

# %%
proof = prove(run)
proof

# %% [markdown]
# What a stranger does: with the two files, and the digest of the statement that was agreed on.

# %%
verdict = verify(proof.statement, proof.proof, expect_statement=run.digest)
verdict

# %% [markdown]
# A changed proof is refused, with the place.

# %%
changed = bytearray(proof.proof)
changed[len(changed) // 2] ^= 1
try:
    verify(proof.statement, bytes(changed))
    refusal = "accepted"
except VerifierError as error:
    refusal = f"{type(error).__name__}: {error}"
refusal

# %% [markdown]
# As files: a run folder for `zkgrad check`, `prove`, `prove-accuracy`, `predict`. It holds secrets (mode 0600) and
# takes over the count of openings, so that from now on proofs are made there. Only statement.json and proof.zkp are
# public.

# %%
folder = save_run(run, Path("runs/notebook"), proof, replace=True)
sorted(path.name for path in folder.iterdir())
