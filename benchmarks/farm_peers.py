"""What the farm is compared with, each in a process of its own: a serial script of the same parts, and diffusers.

Part of `farm.py`, which starts it and reads one JSON line.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from farm_run import Shape, spec_of
from measured import GpuWatch, Measured, energy, stage_medians

from reelmill_common.jobs import RenderSpec, job_id
from reelmill_common.ledger import Claimed
from reelmill_common.prices import gpu_seconds
from reelmill_common.recipe import ClipFacts, make_manifest
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore
from reelmill_common.storage.keys import clip_keys
from reelmill_worker.delivery.clip_files import ClipFiles, ClipWriter
from reelmill_worker.delivery.marks import ClipMarker
from reelmill_worker.host.supervisor import encoder_threads
from reelmill_worker.pipeline.network.plan import detect
from reelmill_worker.pipeline.prepare.tiny_model import make_tiny
from reelmill_worker.pipeline.resident import Resident

BATCH = "serial"


def write_model(folder: Path, *, full: bool) -> dict[str, Any]:
    """Write the model folder, whole or not at all; nothing if it is there."""
    started = time.monotonic()
    if not folder.exists():
        part = folder.with_name("model.part")
        shutil.rmtree(part, ignore_errors=True)
        if full:
            import full_size  # noqa: PLC0415 - diffusers and transformers take seconds

            with torch.inference_mode():
                full_size.write_model(part)
        else:
            make_tiny(part)
        part.rename(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"seconds": round(time.monotonic() - started, 1), "size_gb": round(size / 1e9, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The serial script: all that a worker does to a clip, by the worker's own functions, one after the other."""

    resident: Resident
    writer: ClipWriter
    store: ClipStore

    @classmethod
    def load(cls, model: Path, state: Path, run: Path) -> Script:
        """Load the model as a worker does, with the file of compiled code that a worker has left, and render once."""
        resident = Resident.load(model, plan=detect(), compile_cache=state / "compile-cache")
        resident.canary()
        spool = run / "serial-spool"
        settings = Settings(video_threads=encoder_threads(1))
        writer = ClipWriter(
            settings=settings,
            renderer=resident.describe(),
            worker=BATCH,
            spool=spool,
            marker=ClipMarker.of(settings),
        )
        return cls(resident=resident, writer=writer, store=FolderStore(run / "serial-store"))

    def make(self, take: int, spec: RenderSpec) -> dict[str, float]:
        """Make and store a clip; return its seconds by stage."""
        row = f"{take:04d}"
        claimed = Claimed(job_id=job_id(BATCH, row), batch=BATCH, row=row, token="1.word", spec=spec)
        rendered = self.resident.render(spec, lambda _: None)
        files = self.writer.write(claimed, rendered)
        started = time.monotonic()
        self._put(files, row, gpu_seconds(rendered.seconds))
        shutil.rmtree(files.folder)
        return {**files.seconds, "upload": round(time.monotonic() - started, 4)}

    def _put(self, files: ClipFiles, row: str, gpu_s: float) -> None:
        keys = clip_keys(BATCH, row)
        self.store.put(keys.video, files.video, content_type="video/mp4")
        self.store.put(keys.poster, files.poster, content_type="image/jpeg")
        clip = ClipFacts(
            key=keys.video,
            sha256=files.sha256,
            size_bytes=files.video_bytes,
            latents_sha256=files.latents_sha256,
        )
        manifest = make_manifest(files.recipe, clip=clip, seconds=files.seconds, gpu_s=gpu_s)
        self.store.put(keys.manifest, manifest, content_type="application/json", replace=True)


def serial(run: Path, model: Path, shape: Shape, clips: int) -> dict[str, Any]:
    """Measure the serial script."""
    started = time.monotonic()
    script = Script.load(model, run / "state", run)
    ready = time.monotonic() - started
    measurements = _measure(lambda take: script.make(take, spec_of(shape, take)), clips)
    more = {"ready_s": round(ready, 1), **script.resident.describe()}
    return asdict(measurements) | {"more": more}


def diffusers(run: Path, model: Path, shape: Shape, clips: int) -> dict[str, Any]:
    """Measure diffusers' pipeline in bfloat16 with SDPA, three steps and the Wan VAE, each clip written as an MP4."""
    from diffusers import WanPipeline  # noqa: PLC0415 - takes seconds

    device = "cuda" if shape.full else "cpu"
    pipeline = WanPipeline.from_pretrained(model, torch_dtype=torch.bfloat16).to(device)
    pipeline.set_progress_bar_config(disable=True)

    def make(take: int) -> dict[str, float]:
        spec, started = spec_of(shape, take), time.monotonic()
        frames = pipeline(
            prompt=spec.prompt, height=spec.height, width=spec.width, num_frames=spec.frames, num_inference_steps=3,
            guidance_scale=1.0, generator=torch.Generator("cpu").manual_seed(take), output_type="np",
            max_sequence_length=512,
        ).frames[0]  # fmt: skip
        rendered = time.monotonic()
        _write(frames, run / f"diffusers-{take}.mp4", spec.fps)
        return {"pipeline": rendered - started, "mux": time.monotonic() - rendered}

    return asdict(_measure(make, clips, warm=1))


def _measure(make: Callable[[int], Mapping[str, float]], clips: int, *, warm: int = 2) -> Measured:
    for take in range(warm):
        make(clips + take)
    watch = GpuWatch()
    with watch.watching():
        cores, joules, since = time.process_time(), watch.joules(), time.time()
        stages = [make(take) for take in range(clips)]
        until = time.time()
        cores, after = time.process_time() - cores, watch.joules()
    gpu = [gpu_seconds(clip) for clip in stages] if "denoise" in stages[0] else []
    return Measured(
        clips=clips,
        wall_s=round((until - since) / clips, 4),
        gpu_s=round(statistics.mean(gpu), 4) if gpu else None,
        gpu_median_s=round(statistics.median(gpu), 4) if gpu else None,
        cpu_s=round(cores / clips, 3),
        energy_j=energy(joules, after, clips),
        nvml_idle=watch.idle(since, until),
        stages=stage_medians(stages),
    )


def _write(frames: Any, path: Path, fps: int) -> None:
    """Write RGB in 0 to 1 with the farm's encoder settings; diffusers' own `export_to_video` wants OpenCV."""
    import av  # noqa: PLC0415 - only this part writes by itself

    encoder = {"preset": "veryfast", "crf": "18"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=encoder)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.thread_count = encoder_threads(1)
        for picture in (frames * 255).round().astype("uint8"):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
