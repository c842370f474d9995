# syntax=docker/dockerfile:1
# The image of a host that renders. Targets:
#   gpu (the last, so the default): CUDA build of torch, SageAttention 2.2 for Ampere, Ada, Hopper and Blackwell (sm120)
#   cpu: the same without kernels, with the `tiny` model made at build time, for a machine without a GPU
#
#   docker build -f infra/docker/worker.Dockerfile -t reelmill-worker .
#   docker build -f infra/docker/worker.Dockerfile --target cpu -t reelmill-worker-cpu .

# Both have Python 3.12, so a wheel built on the first runs on the second; the second has the newer C++ library.
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-devel-ubuntu24.04
ARG PYTHON_IMAGE=python:3.12-slim-trixie

# ---- SageAttention: source only, so it is compiled here, on a machine that need not have a GPU ------------------------
FROM ${CUDA_IMAGE} AS sageattention

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends git ninja-build python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/build
ENV PATH=/opt/build/bin:${PATH} CUDA_HOME=/usr/local/cuda

COPY constraints.txt /tmp/constraints.txt
# The wheel works with the torch that it was compiled against: the same pin as in the image below.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c /tmp/constraints.txt torch numpy packaging setuptools wheel ninja

# A commit of 2026-01-17 that still calls itself 2.2.0: the tag v2.2.0 has wrong results on Hopper (SageAttention#320).
ARG SAGEATTENTION_COMMIT=d1a57a546c3d395b1ffcbeecc66d81db76f3b4b5
RUN git init -q /opt/sageattention \
    && cd /opt/sageattention \
    && git fetch -q --depth 1 https://github.com/thu-ml/SageAttention.git "${SAGEATTENTION_COMMIT}" \
    && git checkout -q FETCH_HEAD

# One job takes about 3 GB of memory; EXT_PARALLEL extensions of up to MAX_JOBS files are compiled at once.
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;8.9;9.0;12.0"
ARG MAX_JOBS=4
ARG EXT_PARALLEL=2
# torch 2.13 compiles extensions as C++20 (torch/utils/cpp_extension.py); SageAttention asks for 17.
RUN cd /opt/sageattention \
    && sed -i 's/-std=c++17/-std=c++20/' setup.py \
    && TORCH_CUDA_ARCH_LIST="${TORCH_CUDA_ARCH_LIST}" MAX_JOBS="${MAX_JOBS}" EXT_PARALLEL="${EXT_PARALLEL}" \
        pip wheel --no-build-isolation --no-deps -w /wheels .

# ---- Reelmill itself, as a wheel: no source tree in the images ------------------------------------------------------
FROM ${PYTHON_IMAGE} AS reelmill

WORKDIR /src
RUN --mount=type=cache,target=/root/.cache/pip pip install build
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY producer producer
COPY worker worker
RUN python -m build --wheel --outdir /wheels

# ---- What both workers share ----------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base

# gcc: Triton compiles its launchers, and torch.compile its host code, when the worker warms up.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 reelmill \
    && useradd --uid 10001 --gid reelmill --home-dir /var/lib/reelmill --no-create-home --shell /usr/sbin/nologin reelmill \
    && install -d -o reelmill -g reelmill /var/lib/reelmill /var/lib/reelmill/models /var/cache/reelmill \
        /usr/share/reelmill/models
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/reelmill \
    REELMILL_STATE_DIR=/var/lib/reelmill \
    REELMILL_LOG_FORMAT=json \
    XDG_CACHE_HOME=/var/cache/reelmill \
    CUDA_CACHE_PATH=/var/cache/reelmill/cuda \
    HF_HOME=/var/cache/reelmill/huggingface \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/reelmill/inductor \
    TRITON_CACHE_DIR=/var/cache/reelmill/triton
COPY --chmod=755 infra/docker/hold.sh /usr/local/bin/hold
COPY --chmod=755 infra/docker/health.py /usr/local/bin/health
COPY constraints.txt /tmp/constraints.txt
WORKDIR /var/lib/reelmill

# tini: the worker's children must be reaped, and signals passed on, by process 1.
ENTRYPOINT ["tini", "--", "hold", "reelmill"]
CMD ["worker"]
# A model is loaded, compiled and tried before the worker is ready: minutes, the first time.
HEALTHCHECK --interval=30s --timeout=15s --start-period=15m --retries=3 CMD ["health", "worker"]
# SIGTERM drains. `docker stop` kills after 10 s unless told to wait: compose.yaml gives it 18 minutes.
STOPSIGNAL SIGTERM

# ---- Without a GPU --------------------------------------------------------------------------------------------------
FROM base AS cpu

# PyPI's torch for Linux is the CUDA build, 5 GB with its libraries. It works without a GPU; for a small image pass the
# address of PyTorch's index of CPU builds.
ARG TORCH_INDEX_URL=""
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c /tmp/constraints.txt ${TORCH_INDEX_URL:+--index-url "${TORCH_INDEX_URL}"} torch
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=reelmill,source=/wheels,target=/wheels \
    pip install -c /tmp/constraints.txt "$(echo /wheels/reelmill-*.whl)[worker]"
# Outside of the state folder, which is a volume.
USER reelmill
RUN reelmill model tiny /usr/share/reelmill/models/tiny
ENV REELMILL_PROFILE=tiny REELMILL_MODEL_DIR=/usr/share/reelmill/models/tiny
CMD ["worker", "--devices", "cpu"]

# ---- With GPUs ------------------------------------------------------------------------------------------------------
FROM base AS gpu

# SageAttention first: then the extra `gpu` finds it and does not fetch 1.0.6.
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=sageattention,source=/wheels,target=/sageattention \
    pip install -c /tmp/constraints.txt torch \
    && pip install --no-deps /sageattention/*.whl
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=reelmill,source=/wheels,target=/wheels \
    pip install -c /tmp/constraints.txt "$(echo /wheels/reelmill-*.whl)[worker,gpu]" \
    && pip check
# What the NVIDIA container runtime lends: computing, NVENC, and nvidia-smi's library for the worker's reports.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER reelmill
