"""Links for auditors, receipts, and how often one may ask."""

from __future__ import annotations

import pytest

from api.service import proofs, rates, receipts_store, shares, statements, tenants
from api.service.errors import NotFound, TooMany, Unprocessable
from api.service.settings import Settings


@pytest.fixture
def stated(opened, trained_run):
    """(store, tenant, digest of a stored statement)."""
    store, tenant = opened
    text = (trained_run / "statement.json").read_bytes()
    return store, tenant, statements.put_statement(store, tenant, text).digest


def test_a_statement_is_stored_once_with_what_follows_from_it(stated, trained_run):
    store, tenant, digest = stated
    text = (trained_run / "statement.json").read_bytes()
    again = statements.put_statement(store, tenant, text)
    assert again == statements.get_statement(store, tenant, digest)
    assert statements.statement_text(store, tenant, digest) == text
    assert again.estimate["proof_bytes"] > 100_000 and again.estimate["security_bits"] >= 100
    assert max(again.bounds.values()) < 63
    for wrong in (text + b" ", text.replace(b'"mse"', b'"mad"'), b"", b"[" * 100_000, bytes(2 << 20)):
        with pytest.raises(Unprocessable):
            statements.put_statement(store, tenant, wrong)
    statements.delete_statement(store, tenant, digest)
    with pytest.raises(NotFound):
        statements.get_statement(store, tenant, digest)


def test_a_link_opens_until_it_is_revoked_or_has_expired(stated):
    store, tenant, digest = stated
    share, token = shares.create_share(store, tenant, digest)
    found = shares.open_share(store, token)
    assert (found.tenant, found.share) == (tenant, share)
    _, short = shares.create_share(store, tenant, digest, seconds=1e-6)
    shares.revoke_share(store, tenant, share.id)
    for ended in (token, short, token[:-1], "zks_a_b", ""):
        with pytest.raises(NotFound, match="not valid"):
            shares.open_share(store, ended)
    with pytest.raises(NotFound):
        shares.create_share(store, tenant, digest, proof="0" * 64)
    with pytest.raises(NotFound):
        shares.revoke_share(store, tenants.create_tenant(store, "another").id, share.id)


def test_receipts_belong_to_stored_statements(stated):
    store, tenant, digest = stated
    made = receipts_store.put_receipt(store, tenant, digest, {"signature": "00"})
    assert receipts_store.list_receipts(store, tenant, statement=digest).items == (made,)
    receipts_store.delete_receipt(store, tenant, made.id)
    with pytest.raises(NotFound):
        receipts_store.get_receipt(store, tenant, made.id)
    with pytest.raises(Unprocessable):
        receipts_store.put_receipt(store, tenant, digest, {"signature": "0" * 70_000})
    with pytest.raises(NotFound):
        receipts_store.put_receipt(store, tenant, "0" * 64, {})
    with pytest.raises(NotFound):
        proofs.get_proof(store, tenant, "0" * 64)


def test_requests_are_counted_by_the_minute(make_store):
    store, tenant = make_store(requests_per_minute=3)
    now = [6e6]
    store.database.now = lambda session: now[0]
    for _ in range(3):
        rates.count_request(store, tenant)
    with pytest.raises(TooMany) as raised:
        rates.count_request(store, tenant)
    assert 0 < raised.value.retry_after <= 60
    now[0] += 60
    rates.count_request(store, tenant)


def test_settings_and_stores_do_not_print_their_secrets(opened, tmp_path):
    store, _ = opened
    settings = Settings(data=tmp_path, s3_secret_key="hush-hush")
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.plain()["s3_secret_key"] == "hush-hush"
    shown = repr(store) + repr(store.vault) + str(store.vault)
    assert store.vault.key.hex() not in shown and repr(store.vault.key) not in shown
