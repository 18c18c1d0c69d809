"""The small model's autoencoder: a linear code, causal in groups of four frames."""

import pytest
import torch

from dreamactor_core.mini.vae import GROUP, PATCH, MiniVAE

PIXELS = 3 * PATCH * PATCH  # of one frame in one latent cell


def tiny(**sizes) -> MiniVAE:
    """Random in every layer, the last one included, which a new model starts at zero."""
    torch.manual_seed(0)
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8), blocks=(1, 1, 1), **sizes).eval()
    torch.nn.init.normal_(vae.leave.weight, std=0.1)
    return vae


def video(frames: int, height: int = 32, width: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, 3, frames, height, width, generator=generator) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize(("frames", "groups"), [(1, 1), (5, 2), (13, 4)])
def test_shapes(frames, groups):
    vae = tiny()
    latents = vae.encode(video(frames).expand(2, -1, -1, -1, -1)).latent_dist.mode()
    assert latents.shape == (2, 8, groups, 4, 6)
    assert vae.decode(latents).sample.shape == (2, 3, frames, 32, 48)


@torch.no_grad()
def test_without_channels_there_is_no_clean_up():
    """What decodes is the linear code, as of a clean-up that has not learned."""
    bare = MiniVAE(latent_channels=8, channels=(), blocks=())
    new = MiniVAE(latent_channels=8, channels=(8, 8, 8), blocks=(1, 1, 1))
    new.load_state_dict(bare.state_dict(), strict=False)
    latents = new.encode(video(5)).latent_dist.mode()
    assert set(bare.state_dict()) == {"code.weight", "code.bias", "uncode.weight", "uncode.bias"}
    assert torch.equal(bare.decode(latents).sample, new.decode(latents).sample)


@torch.no_grad()
def test_a_batch_is_its_samples_one_by_one():
    vae = tiny()
    a, b = video(5), video(5).flip(-1)
    both = vae.encode(torch.cat([a, b])).latent_dist.mode()
    one_by_one = torch.cat([vae.encode(x).latent_dist.mode() for x in (a, b)])
    torch.testing.assert_close(both, one_by_one)
    decoded = torch.cat([vae.decode(z).sample for z in one_by_one.split(1)])
    torch.testing.assert_close(vae.decode(both).sample, decoded)


@torch.no_grad()
@pytest.mark.parametrize("group", [0, 1, 2, 3])
def test_encoding_a_group_reads_its_own_frames_alone(group):
    vae, frames = tiny(), video(13)
    changed = frames.clone()
    changed[:, :, slice(0, 1) if group == 0 else slice(4 * group - 3, 4 * group + 1)] += 0.5
    before, after = (vae.encode(x).latent_dist.mode()[0] for x in (frames, changed))
    assert [(before[:, k] != after[:, k]).any().item() for k in range(4)] == [
        k == group for k in range(4)
    ]


@torch.no_grad()
@pytest.mark.parametrize("group", [0, 1, 2, 3])
def test_a_latent_shows_in_its_own_frames_and_in_the_next_group(group):
    vae = tiny()
    latents = torch.randn(1, 8, 4, 2, 3, generator=torch.Generator().manual_seed(2))
    changed = latents.clone()
    changed[:, :, group] += 0.5
    before, after = vae.decode(latents).sample[0], vae.decode(changed).sample[0]
    differs = (before != after).flatten(2).any(dim=2).any(dim=0)  # (13,) by frame
    of_group = [0] + [1 + k // 4 for k in range(12)]
    assert differs.tolist() == [k in (group, group + 1) for k in of_group]


@torch.no_grad()
def test_frame_0_is_the_same_alone_and_in_a_clip():
    vae, frames = tiny(), video(9)
    alone = vae.encode(frames[:, :, :1]).latent_dist.mode()
    in_clip = vae.encode(frames).latent_dist.mode()
    torch.testing.assert_close(alone, in_clip[:, :, :1])
    torch.testing.assert_close(vae.decode(alone).sample, vae.decode(in_clip).sample[:, :, :1])


@torch.no_grad()
def test_frame_0_is_the_mean_of_its_group():
    vae = tiny()
    latents = torch.randn(1, 8, 1, 2, 2, generator=torch.Generator().manual_seed(3))
    group = vae.clean(latents[:, :, 0], latents[:, :, 0]).unflatten(1, (GROUP, 3))
    torch.testing.assert_close(vae.decode(latents).sample[:, :, 0], group.mean(dim=1))


@torch.no_grad()
@pytest.mark.parametrize("flat_mean", [True, False])
def test_with_all_components_the_linear_code_loses_the_pattern_of_the_mean_alone(flat_mean):
    """x comes back exactly but for the mean's pattern in a patch, which has no bias to go to."""
    torch.manual_seed(4)
    bases = [torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in (12, 16)]
    components = torch.kron(*bases).float()  # orthonormal as they are, (192, 192)
    scale = torch.rand(PIXELS) + 0.5
    mean = torch.randn(3, PATCH, PATCH) * 0.1
    channel_mean = mean.mean(dim=(1, 2), keepdim=True)
    if flat_mean:
        mean = channel_mean.expand_as(mean)
    vae = MiniVAE(latent_channels=GROUP * PIXELS, channels=(8, 8, 8), blocks=(1, 1, 1))
    vae.set_linear_code(mean.flatten(), components, scale)

    patch = torch.randn(1, 3, PATCH, PATCH)
    code = vae.code(patch)
    want = (patch - mean).flatten() @ components / scale
    torch.testing.assert_close(code.flatten(), want, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(vae.uncode(code), patch - mean + channel_mean, atol=1e-4, rtol=1e-4)
    if flat_mean:
        torch.testing.assert_close(vae.uncode(code), patch, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_new_decoder_starts_as_the_linear_one():
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8), blocks=(1, 1, 1))
    latents = torch.randn(2, 8, 2, 3)
    linear = [vae.uncode(frame) for frame in latents.chunk(GROUP, dim=1)]
    torch.testing.assert_close(vae.clean(latents, latents), torch.cat(linear, dim=1))


@torch.no_grad()
def test_the_pixel_distance_is_the_mean_absolute_error_of_the_linear_decode():
    vae = tiny()
    a, b = torch.randn(2, 3, vae.config.latent_channels, 1, 1)
    with torch.no_grad():
        pairs = zip(a.chunk(GROUP, dim=1), b.chunk(GROUP, dim=1), strict=True)
        apart = torch.cat([(vae.uncode(x) - vae.uncode(y)).abs() for x, y in pairs], 1).flatten(1)
    far = vae.pixel_distance((a - b).flatten(1))
    assert far.shape == (3,)
    # Never above, and below by at most the tolerance that rounds it off.
    assert (far <= apart.mean(dim=1)).all() and (far > apart.mean(dim=1) - 0.03).all()
    same = torch.zeros(1, vae.config.latent_channels)
    assert vae.pixel_distance(same).abs() < 1e-6


def test_save_and_load(tmp_path):
    vae, frames = tiny(scaling_factor=0.5), video(5)
    vae.save_pretrained(tmp_path)
    again = MiniVAE.from_pretrained(tmp_path)
    latents = vae.encode(frames).latent_dist.mode()
    assert torch.equal(again.encode(frames).latent_dist.mode(), latents)
    assert torch.equal(again.decode(latents).sample, vae.decode(latents).sample)
    assert again.config.scaling_factor == 0.5
    assert (again.spatial_compression_ratio, again.temporal_compression_ratio) == (8, 4)
