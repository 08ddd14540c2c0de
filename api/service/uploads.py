"""Uploads in numbered parts, each stored durably before it is acknowledged, so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .artifacts import KINDS, SECRET_KINDS, Piece, pieces, read_pieces, remove_parts, stored_bytes, view
from .errors import Conflict, DigestMismatch, NotFound, StorageUnavailable, TooLarge, TooMany, Unprocessable
from .schema import Artifact, Part, Upload
from .sealing import seal
from .store import Store
from .streams import Meter
from .tenants import new_id, sealing_key
from .trash import discard
from .views import ArtifactView, PartView, UploadView

_DIGEST = re.compile("[0-9a-f]{64}")
_MEDIA = re.compile(r"[A-Za-z0-9.+_-]{1,60}/[A-Za-z0-9.+_-]{1,59}")


def begin_upload(
    store: Store,
    tenant: str,
    kind: str,
    *,
    secret: bool = False,
    media_type: str = "application/octet-stream",
    size: int | None = None,
    digest: str | None = None,
) -> UploadView:
    """Opens an upload of `size` bytes with SHA-256 `digest`, where the client knows them.

    Data, first weights and openings are secret whatever `secret` says. Errors: Unprocessable, TooLarge, TooMany,
    DiskFull.
    """
    hidden = secret or kind in SECRET_KINDS
    if kind not in KINDS or kind == "reply":
        raise Unprocessable(f"kind {kind!r}: give one of {', '.join(k for k in KINDS if k != 'reply')}", "/kind")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise Unprocessable("digest: 64 lower-case hexadecimal digits of SHA-256", "/digest")
    if not _MEDIA.fullmatch(media_type):
        raise Unprocessable("media_type: type/subtype, without parameters", "/media_type")
    if size is not None and size < 1:
        raise Unprocessable("size: at least 1 byte", "/size")
    _admit(store, tenant, size or 0)
    mark = _marked(store, tenant, hidden, digest) if digest is not None else None
    with store.database.write() as session:
        now = store.database.now(session)
        opened = select(func.count()).where(Upload.tenant == tenant, Upload.artifact.is_(None), Upload.expires > now)
        if (session.scalar(opened) or 0) >= store.settings.max_open_uploads:
            limit = store.settings.max_open_uploads
            raise TooMany(f"{limit} uploads are open already; complete or abort some", 60.0)
        row = Upload(
            id=new_id(),
            tenant=tenant,
            kind=kind,
            secret=hidden,
            media_type=media_type,
            size=size,
            digest=mark,
            artifact=None,
            created=now,
            expires=now + store.settings.upload_seconds,
        )
        session.add(row)
        return _view(row, ())


def get_upload(store: Store, tenant: str, upload: str) -> UploadView:
    """The state of an upload, from which it is resumed. NotFound."""
    with store.database.read() as session:
        row = _require(session, tenant, upload)
        return _view(row, pieces(session, row.id))


def put_part(
    store: Store, tenant: str, upload: str, number: int, chunks: Iterable[bytes], *, size: int, digest: str | None
) -> PartView:
    """Stores part `number` (from 1) of exactly `size` bytes with SHA-256 `digest`; the same number again replaces it.

    Memory: a few chunks. Errors: NotFound, Conflict (completed), Unprocessable, TooLarge, DigestMismatch, DiskFull,
    StorageUnavailable; of a part that fails nothing is kept.
    """
    limits = store.settings
    if not 1 <= number <= limits.max_parts:
        raise Unprocessable(f"part {number}: numbers go from 1 to {limits.max_parts}", "/number")
    if size < 1:
        raise Unprocessable("a part has at least 1 byte", "/size")
    if size > limits.max_part_bytes:
        raise TooLarge(f"a part of {size} bytes; at most {limits.max_part_bytes}, use more parts")
    with store.database.read() as session:
        secret = _require_open(session, store, tenant, upload).secret
    _admit(store, tenant, size)
    meter, blob = Meter(size), f"parts/{new_id()}"
    stream: Iterable[bytes] = meter.watch(chunks)
    key = sealing_key(store, tenant) if secret else None
    store.blobs.write(blob, stream if key is None else seal(key, blob, stream))
    try:
        if meter.size != size:
            raise DigestMismatch(f"{meter.size} bytes came where {size} were announced")
        if digest is not None and meter.digest != digest:
            raise DigestMismatch(f"the part's SHA-256 is not the announced {digest}")
        mark = _marked(store, tenant, secret, meter.digest)
        _record(store, tenant, upload, Piece(number, blob, size, mark))
        return PartView(number, size, None if secret else meter.digest)
    except StorageUnavailable:
        raise  # perhaps recorded after all: if not, the blob is swept later
    except BaseException:
        store.blobs.delete(blob)
        raise


def _marked(store: Store, tenant: str, secret: bool, digest: str) -> str:
    """What is stored of a digest: of secrets, a keyed hash of it, which confirms nobody's guess."""
    if not secret:
        return digest
    return hmac.new(sealing_key(store, tenant), b"digest:" + digest.encode(), "sha256").hexdigest()


def _record(store: Store, tenant: str, upload: str, part: Piece) -> None:
    with store.database.write() as session:
        row = _require_open(session, store, tenant, upload)
        now = store.database.now(session)
        present = {piece.number: piece for piece in pieces(session, upload)}
        total = sum(p.size for n, p in present.items() if n != part.number) + part.size
        limit = min(row.size or store.settings.max_artifact_bytes, store.settings.max_artifact_bytes)
        if total > limit:
            raise TooLarge(f"the parts have {total} bytes in all; at most {limit}")
        old = present.get(part.number)
        if old is not None:
            discard(session, now, [old.blob])
            session.delete(session.get_one(Part, (upload, part.number)))
            session.flush()
        session.add(Part(owner=upload, number=part.number, blob=part.blob, size=part.size, digest=part.digest))
        row.expires = now + store.settings.upload_seconds


def complete_upload(store: Store, tenant: str, upload: str) -> ArtifactView:
    """Makes an artifact of the parts 1 to n; done twice, it gives the same one.

    Errors: NotFound; Unprocessable, a part is missing; DigestMismatch, size or digest is not the announced one;
    Conflict, parts changed meanwhile.
    """
    with store.database.read() as session:
        row = _require(session, tenant, upload)
        if row.artifact is not None:
            return view(_made(session, tenant, row.artifact))
        found, kind = pieces(session, upload), (row.secret, row.size, row.digest)
    secret, size, announced = kind
    missing = next((k for k, piece in enumerate(found, 1) if piece.number != k), len(found) + 1 if not found else None)
    if missing is not None:
        raise Unprocessable(f"part {missing} is missing")
    total = sum(piece.size for piece in found)
    if size is not None and total != size:
        raise DigestMismatch(f"the parts have {total} bytes where {size} were announced")
    digest = _digest(store, tenant, found, secret) if announced is not None or not secret else None
    if announced is not None and digest != announced:
        raise DigestMismatch("the SHA-256 of all parts is not the announced one")
    return _finish(store, tenant, upload, found, digest)


def _digest(store: Store, tenant: str, found: Sequence[Piece], secret: bool) -> str:
    """The digest of all parts together, as it is stored."""
    if len(found) == 1:
        return found[0].digest
    whole = hashlib.sha256()
    for chunk in read_pieces(store, tenant, found, secret):
        whole.update(chunk)
    return _marked(store, tenant, secret, whole.hexdigest())


def _finish(store: Store, tenant: str, upload: str, found: Sequence[Piece], digest: str | None) -> ArtifactView:
    with store.database.write() as session:
        row = _require(session, tenant, upload)
        if row.artifact is not None:
            return view(_made(session, tenant, row.artifact))
        if pieces(session, upload) != tuple(found):
            raise Conflict("parts were replaced while the upload was being completed; complete it again")
        now = store.database.now(session)
        name = new_id() if row.secret or digest is None else digest
        known = session.get(Artifact, (tenant, name))
        row.artifact = name
        if known is not None:
            remove_parts(session, now, upload)
            return view(known)
        owner = new_id()
        for part in session.scalars(select(Part).where(Part.owner == upload)):
            part.owner = owner
        made = Artifact(
            tenant=tenant,
            id=name,
            parts=owner,
            kind=row.kind,
            secret=row.secret,
            media_type=row.media_type,
            size=sum(piece.size for piece in found),
            job=None,
            created=now,
        )
        session.add(made)
        return view(made)


def abort_upload(store: Store, tenant: str, upload: str) -> None:
    """Ends an upload and removes its parts; an artifact that it became stays. NotFound."""
    with store.database.write() as session:
        row = _require(session, tenant, upload)
        remove_parts(session, store.database.now(session), upload)
        session.delete(row)


def store_artifact(
    store: Store,
    tenant: str,
    kind: str,
    chunks: Iterable[bytes],
    *,
    secret: bool = False,
    media_type: str = "application/octet-stream",
) -> ArtifactView:
    """An artifact in one go, cut into parts of the largest size. Errors of `put_part` and `complete_upload`."""
    upload = begin_upload(store, tenant, kind, secret=secret, media_type=media_type)
    try:
        for number, piece in enumerate(_batches(chunks, min(store.settings.max_part_bytes, 8 << 20)), 1):
            put_part(store, tenant, upload.id, number, [piece], size=len(piece), digest=None)
        made = complete_upload(store, tenant, upload.id)
    finally:
        abort_upload(store, tenant, upload.id)
    return made


def _batches(chunks: Iterable[bytes], size: int) -> Iterable[bytes]:
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)


def _admit(store: Store, tenant: str, size: int) -> None:
    if size > store.settings.max_artifact_bytes:
        raise TooLarge(f"{size} bytes; an artifact has at most {store.settings.max_artifact_bytes}")
    store.blobs.admit(size)
    with store.database.read() as session:
        total = stored_bytes(session, tenant) + size
    if total > store.settings.max_tenant_bytes:
        raise TooLarge(f"{total} bytes in all; this tenant may store {store.settings.max_tenant_bytes}: delete some")


def _require(session: Session, tenant: str, upload: str) -> Upload:
    row = session.get(Upload, upload)
    if row is None or row.tenant != tenant:
        raise NotFound(f"there is no upload {upload}; it may have expired")
    return row


def _require_open(session: Session, store: Store, tenant: str, upload: str) -> Upload:
    row = _require(session, tenant, upload)
    if row.artifact is not None:
        raise Conflict(f"upload {upload} is complete")
    if row.expires <= store.database.now(session):
        raise NotFound(f"there is no upload {upload}; it may have expired")
    return row


def _made(session: Session, tenant: str, artifact: str) -> Artifact:
    row = session.get(Artifact, (tenant, artifact))
    if row is None:
        raise NotFound(f"artifact {artifact} was deleted since")
    return row


def _view(row: Upload, found: Sequence[Piece]) -> UploadView:
    parts = tuple(PartView(piece.number, piece.size, None if row.secret else piece.digest) for piece in found)
    return UploadView(
        row.id,
        row.kind,
        row.secret,
        row.media_type,
        row.size,
        None if row.secret else row.digest,
        parts,
        sum(part.size for part in parts),
        row.created,
        row.expires,
        row.artifact,
    )
