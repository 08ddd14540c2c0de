# Three images. Build one with: docker build --target verifier --tag zkgrad-verifier .
#
#   verifier        python -m verifier, and nothing else of this repository
#   verifier-http   the same over HTTP: POST /v1/verify, without storage, keys or secrets
#   service         the zkgrad command: `serve`, `worker`, and every other verb
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS verifier
COPY verifier/ /zkgrad/verifier/
ENV PYTHONPATH=/zkgrad \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /files
USER 65532:65532
# -P: the mounted folder is somebody else's, and no module is imported from it. -S -s: nor from installed packages.
ENTRYPOINT ["python", "-P", "-S", "-s", "-m", "verifier"]
CMD ["statement.json", "proof.zkp"]

FROM ${PYTHON_IMAGE} AS verifier-http
COPY constraints.txt /tmp/constraints.txt
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt fastapi uvicorn python-multipart
COPY verifier/ /zkgrad/verifier/
COPY api/__init__.py api/verification.py api/verifier_child.py /zkgrad/api/
COPY api/service/__init__.py /zkgrad/api/service/
COPY api/service/http/ /zkgrad/api/service/http/
ENV PYTHONPATH=/zkgrad \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /zkgrad
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["python", "-P", "-s", "-m", "uvicorn", "api.service.http.verify_only:app"]
CMD ["--host", "0.0.0.0", "--port", "8080"]

FROM ${PYTHON_IMAGE} AS build
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY verifier/ /source/verifier/
COPY prover/ /source/prover/
COPY fhe/ /source/fhe/
COPY api/ /source/api/
WORKDIR /source
RUN python -m venv /opt/zkgrad \
    && /opt/zkgrad/bin/pip install --no-cache-dir --constraint constraints.txt '.[api]'

FROM ${PYTHON_IMAGE} AS service
COPY --from=build /opt/zkgrad /opt/zkgrad
# The wrapping key lies in a volume of its own, so that a backup of /data does not hold it. Kernels are compiled for the
# machine's processor on first use and kept in /cache.
RUN install --directory --owner=65532 --group=65532 --mode=0700 /data /keys /cache
ENV PATH=/opt/zkgrad/bin:$PATH \
    HOME=/tmp \
    XDG_CACHE_HOME=/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    ZKGRAD_DATA=/data \
    ZKGRAD_WRAPPING_KEY=/keys/wrapping-key \
    ZKGRAD_IDENTITY=/keys/identity
WORKDIR /data
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["zkgrad"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
