import torch

from reelmill_common.jobs import RenderSpec
from reelmill_worker.pipeline.noise import Noise, latent_size

SIZE = (3, 4, 6)


def test_81_frames_of_832x480_are_21_latents_of_60x104() -> None:
    spec = RenderSpec(prompt="fox")

    assert latent_size(spec) == (21, 60, 104)


def test_one_seed_gives_one_noise_and_another_seed_another() -> None:
    first, again, other = (Noise.seeded(seed, SIZE, "dmd3").initial() for seed in (7, 7, 8))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_unipc_draws_channels_before_frames() -> None:
    drawn = torch.randn((1, 16, *SIZE), generator=torch.Generator().manual_seed(7))

    assert torch.equal(Noise.seeded(7, SIZE, "unipc3").initial(), drawn)


def test_dmd_draws_frames_before_channels() -> None:
    drawn = torch.randn((1, SIZE[0], 16, *SIZE[1:]), generator=torch.Generator().manual_seed(7))

    noise = Noise.seeded(7, SIZE, "dmd3").initial()

    assert torch.equal(noise, drawn.transpose(1, 2))
    assert noise.is_contiguous()


def test_noise_between_steps_goes_on_with_the_same_stream_as_a_bfloat16_draw_would() -> None:
    generator = torch.Generator().manual_seed(7)
    shape = (1, SIZE[0], 16, *SIZE[1:])
    torch.randn(shape, generator=generator)
    second = torch.randn(shape, generator=generator, dtype=torch.bfloat16)
    noise = Noise.seeded(7, SIZE, "dmd3")
    noise.initial()

    again = noise.again()

    assert again.dtype == torch.bfloat16
    assert torch.equal(again, second.transpose(1, 2))
