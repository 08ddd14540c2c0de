"""Writes receipts.json: signatures on receipts' messages by py_ecc, in the format of the public BLS test suites.

Run it as `python tests/vectors/make_receipts.py`. A case is {"input": ..., "output": ...}, bytes are hexadecimal.
Messages are put together here once more, from the description in docs/receipts.md. The cases under "public" are known
answers of others, not made here: KeyGen of EIP-2333 (test case 0), and signatures of the consensus layer's BLS suite
(ethereum/consensus-spec-tests, CC0).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from py_ecc.bls import G2ProofOfPossession as Suite
from py_ecc.bls.g2_primitives import G1_to_pubkey, pubkey_to_G1
from py_ecc.optimized_bls12_381 import add, neg

PUBLIC = {
    "keygen": {
        "case_0": {
            "input": "0xc55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e5349553"
                     "1f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04",
            "output": "6083874454709270928345386274498605044986640685124978867557563392430687146096",
        }
    },
    "sign": {
        "case_zeros": {
            "input": {"privkey": "0x263dbd792f5b1be47ed85f8938c0f29586af0d3ac7b977f21c278fe1462040e3",
                      "message": "0x" + "00" * 32},
            "output":
                      "0xb6ed936746e01f8ecf281f020953fbf1f01debd5657c4a383940b020b26507f6076334f91e2366c96e9ab279fb515809"
                      "0352ea1c5b0c9274504f4f0e7053af24802e51e4568d164fe986834f41e55c8e850ce1f98458c0cfc9ab380b55285a55",
        },
        "case_ab": {
            "input": {"privkey": "0x328388aff0d4a5b7dc9205abd374e7e98f3cd9f3418edb4eafda5fb16473d216",
                      "message": "0x" + "ab" * 32},
            "output":
                      "0xae82747ddeefe4fd64cf9cedb9b04ae3e8a43420cd255e3c7cd06a8d88b7c7f8638543719981c5d16fa3527c468c25f0"
                      "026704a6951bde891360c7e8d12ddee0559004ccdbe6046b55bae1b257ee97f7cdb955773d7cf29adf3ccbb9975e4eb9",
        },
    },
    "fast_aggregate_verify": {
        "case_ab": {
            "input": {
                "pubkeys": [
                    "0xa491d1b0ecd9bb917989f0e74f0dea0422eac4a873e5e2644f368dffb9a6e20fd6e10c1b77654d067c0618f6e5a7f79a",
                    "0xb301803f8b5ac4a1133581fc676dfedc60d891dd5fa99028805e5ea5b08d3491af75d0707adab3b70c6a6a580217bf81",
                    "0xb53d21a4cfd562c469cc81514d4ce5a6b577d8403d32a394dc265dd190b47fa9f829fdd7963afdf972e5e77854051f6f",
                ],
                "message": "0x" + "ab" * 32,
                "signature":
                    "0x9712c3edd73a209c742b8250759db12549b3eaf43b5ca61376d9f30e2747dbcf842d8b2ac0901d2a093713e20284a767"
                    "0fcf6954e9ab93de991bb9b313e664785a075fc285806fa5224c82bde146561b446ccfc706a64b8579513cfc4ff1d930",
            },
            "output": True,
        }
    },
}  # fmt: skip

DIGEST, PARAMETERS = hashlib.sha256(b"a statement").digest(), hashlib.sha256(b"its parameters").digest()
TAIL = (1).to_bytes(4, "big") + DIGEST + PARAMETERS
MESSAGES = {
    "statement_128_hiding": b"ZKGRAD-RECEIPT-v1\0" + TAIL + bytes([0, 128, 1]),
    "statement_100_transparent": b"ZKGRAD-RECEIPT-v1\0" + TAIL + bytes([0, 100, 0]),
    "run_128_hiding": b"ZKGRAD-RUN-RECEIPT-v1\0" + TAIL + bytes([0, 128, 1]),
}


def text(data: bytes) -> str:
    return "0x" + data.hex()


def case(given: Any, found: Any) -> dict[str, Any]:
    return {"input": given, "output": found}


def vectors() -> dict[str, Any]:
    secrets = [Suite.KeyGen(hashlib.sha256(b"vector" + bytes([k])).digest()) for k in range(3)]
    keys = [Suite.SkToPk(secret) for secret in secrets]
    message = MESSAGES["statement_128_hiding"]
    signatures = [Suite.Sign(secret, message) for secret in secrets]
    added = Suite.Aggregate(signatures)
    # The rogue key cancels the honest one: one signature by the attacker passes for both.
    rogue = G1_to_pubkey(add(pubkey_to_G1(keys[1]), neg(pubkey_to_G1(keys[0]))))
    aggregates = {
        "three_signers": (keys, message, added, True),
        "one_signer_missing": (keys[:2], message, added, False),
        "another_message": (keys, MESSAGES["run_128_hiding"], added, False),
        "a_key_listed_twice": ([keys[0], keys[0]], message, Suite.Aggregate([signatures[0]] * 2), True),
        "a_rogue_key": ([keys[0], rogue], message, signatures[1], True),
        "the_identity_as_key": ([b"\xc0" + bytes(47)], message, b"\xc0" + bytes(95), False),
    }
    return {
        "public": PUBLIC,
        "message": {
            name: case(
                {"subject": name.split("_")[0], "protocol": 1, "digest": text(DIGEST), "parameters": text(PARAMETERS),
                 "security_bits": int(name.split("_")[1]), "zero_knowledge": name.endswith("hiding")},
                text(found),
            )
            for name, found in MESSAGES.items()
        },
        "sign": {
            f"signer_{k}_{name}": case(
                {"privkey": text(secrets[k].to_bytes(32, "big")), "message": text(found)},
                text(Suite.Sign(secrets[k], found)),
            )
            for k, (name, found) in enumerate(MESSAGES.items())
        },
        "aggregate": {"three_signers": case([text(signature) for signature in signatures], text(added))},
        "fast_aggregate_verify": {
            name: case({"pubkeys": [text(key) for key in listed], "message": text(signed), "signature": text(sum_)}, ok)
            for name, (listed, signed, sum_, ok) in aggregates.items()
        },
        "possession": {
            "own_key": case({"pubkey": text(keys[0]), "proof": text(Suite.PopProve(secrets[0]))}, True),
            "another_key": case({"pubkey": text(keys[1]), "proof": text(Suite.PopProve(secrets[0]))}, False),
            "a_signature_instead": case(
                {"pubkey": text(keys[0]), "proof": text(Suite.Sign(secrets[0], keys[0]))}, False),
            "a_rogue_key": case({"pubkey": text(rogue), "proof": text(Suite.PopProve(secrets[1]))}, False),
        },
    }  # fmt: skip


if __name__ == "__main__":
    Path(__file__).with_name("receipts.json").write_text(json.dumps(vectors(), indent=1) + "\n")
