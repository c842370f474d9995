# syntax=docker/dockerfile:1
# The image of a host that submits and watches; no torch. Targets:
#   producer (the last, so the default): `docker run --rm reelmill-producer submit …`
#   flower: the same with the dashboard, and with what `reelmill metrics` needs
#   console: the same with what `reelmill serve` needs
#
#   docker build -f infra/docker/producer.Dockerfile -t reelmill-producer .
#   docker build -f infra/docker/producer.Dockerfile --target flower -t reelmill-flower .

ARG PYTHON_IMAGE=python:3.12-slim-trixie

FROM ${PYTHON_IMAGE} AS reelmill

WORKDIR /src
RUN --mount=type=cache,target=/root/.cache/pip pip install build
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY producer producer
COPY worker worker
RUN python -m build --wheel --outdir /wheels

FROM ${PYTHON_IMAGE} AS base

RUN groupadd --gid 10001 reelmill \
    && useradd --uid 10001 --gid reelmill --home-dir /var/lib/reelmill --no-create-home --shell /usr/sbin/nologin reelmill \
    && install -d -o reelmill -g reelmill /var/lib/reelmill /prompts
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/reelmill \
    REELMILL_STATE_DIR=/var/lib/reelmill
COPY --chmod=755 infra/docker/health.py /usr/local/bin/health
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=reelmill,source=/wheels,target=/wheels \
    pip install -c /tmp/constraints.txt /wheels/reelmill-*.whl
ENTRYPOINT ["reelmill"]

FROM base AS flower

RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=reelmill,source=/wheels,target=/wheels \
    pip install -c /tmp/constraints.txt "$(echo /wheels/reelmill-*.whl)[flower,metrics]"
COPY infra/flower/flowerconfig.py /etc/reelmill/flowerconfig.py
USER reelmill
WORKDIR /var/lib/reelmill
EXPOSE 5555
# In a container every address is the container's own; what the host publishes is for compose.yaml to say.
CMD ["flower", "--address", "0.0.0.0"]
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["health", "flower"]

FROM base AS console

RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=reelmill,source=/wheels,target=/wheels \
    pip install -c /tmp/constraints.txt "$(echo /wheels/reelmill-*.whl)[web]"
USER reelmill
WORKDIR /var/lib/reelmill
EXPOSE 7335
CMD ["serve", "--address", "0.0.0.0"]
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["health", "console"]

FROM base AS producer

USER reelmill
WORKDIR /prompts
CMD ["--help"]
HEALTHCHECK --interval=30s --timeout=10s --retries=3 CMD ["health", "ledger"]
