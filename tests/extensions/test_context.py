"""Source tokens in context: what target tokens see, when, and that nothing else changes."""

import copy
import inspect

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import assert_same_tensors, make_model, make_pipeline
from helpers.people import SIZE, body

from xmdpt import XMDPTPipeline, XMDPTTransformer2DModel
from xmdpt.config import load_config
from xmdpt.extensions.context import ContextAttention, ContextTransformer2DModel, differences
from xmdpt.model import relative_position_index

WIDTH = 32
SETTINGS = {"mip_attention": "none"}


def make_context(**changes):
    """A context model for 8x8 latents, whose weights but one are those of `make_model`."""
    plain = make_model(**SETTINGS | changes)
    model = ContextTransformer2DModel.from_config(dict(plain.config))
    missing = model.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["type_embedding"] and not missing.unexpected_keys
    return model.eval(), plain


def inputs(count=2):
    torch.manual_seed(1)
    latent = (count, 4, 8, 8)
    return {
        "sample": torch.randn(latent),
        "timestep": torch.tensor([3, 900])[:count],
        "pose_tokens": torch.randn(count, 17, 516),
        "source_tokens": torch.randn(count, 17, 516),
        "source_latent": torch.randn(latent),
    }


def condition_of(model, given):
    return model.encode_condition(
        given["pose_tokens"], given["source_tokens"], given["source_latent"]
    )


def test_attention_equals_the_plain_formula():
    torch.manual_seed(0)
    attention = ContextAttention(dim=12, num_heads=3, grid=2)
    torch.nn.init.normal_(attention.position_bias.table)
    x, source = torch.randn(2, 2, 4, 12)
    query = attention.to_q(x).view(2, 4, 3, 4).transpose(1, 2)
    tokens = torch.cat([x, source], dim=1)
    key, value = attention.to_kv(tokens).view(2, 8, 2, 3, 4).permute(2, 0, 3, 1, 4)
    bias = attention.position_bias.table[relative_position_index(2)].permute(2, 0, 1)
    weights = F.softmax(query @ key.transpose(-1, -2) / 2 + bias.repeat(1, 1, 2), dim=-1)
    expected = attention.to_out((weights @ value).transpose(1, 2).reshape(2, 4, 12))
    torch.testing.assert_close(attention(x, attention.to_kv(source)), expected)


@torch.no_grad()
def test_the_vector_stays_and_each_blocks_keys_and_values_follow():
    model, plain = make_context()
    given = inputs()
    condition = condition_of(model, given)
    assert condition.shape == (2, WIDTH + 3 * 16 * 2 * WIDTH)
    torch.testing.assert_close(condition[:, :WIDTH], condition_of(plain, given))


@torch.no_grad()
def test_kept_keys_are_those_of_a_pass_of_the_source_at_timestep_0():
    """By hand, block by block, with each block's own attention."""
    model, plain = make_context()
    given = inputs()
    condition = condition_of(model, given)
    kept = condition[:, WIDTH:].unflatten(1, (3, 16, 2 * WIDTH))
    c = plain._condition(torch.tensor(0), condition[:, :WIDTH])
    x = plain._embed(given["source_latent"]) + model.type_embedding
    for index, block in enumerate(plain.blocks):
        if index == 2:  # the decoder's
            x = x + plain.decoder_pos_embed
        seen = []
        hook = block.attn.to_kv.register_forward_hook(lambda *call, seen=seen: seen.append(call[2]))
        x = block(x, c)
        hook.remove()
        torch.testing.assert_close(kept[:, index], seen[0])


@torch.no_grad()
def test_a_step_with_kept_keys_equals_both_pictures_through_the_blocks_together():
    """Nothing is lost by keeping: source tokens are the same whatever the target and its time."""
    model, _ = make_context()
    given = inputs()
    condition = condition_of(model, given)
    c = model._condition(given["timestep"], condition[:, :WIDTH])
    start = model._condition(torch.tensor(0), condition[:, :WIDTH])
    x = model._embed(given["sample"])
    source = model._embed(given["source_latent"]) + model.type_embedding
    for index, block in enumerate(model.blocks):
        x, source = (model._enter(index, tokens) for tokens in (x, source))
        x = block(x, c, block.keys_values(source, start))
        source = block(source, start)
    made = model(given["sample"], given["timestep"], condition).sample
    torch.testing.assert_close(made, model._finish(x, c))


@torch.no_grad()
@pytest.mark.parametrize("whole", [True, False])
def test_with_the_source_hidden_it_is_the_plain_model(whole):
    model, plain = make_context()
    given = inputs()
    condition = condition_of(model, given)
    condition[:, 0 if whole else WIDTH :] = 0  # no condition at all, or the vector alone
    made = model(given["sample"], given["timestep"], condition).sample
    expected = plain(given["sample"], given["timestep"], condition[:, :WIDTH]).sample
    torch.testing.assert_close(made, expected)


@torch.no_grad()
def test_a_hidden_source_hides_in_its_own_row_alone():
    """As in guidance, whose two passes go through the network in one batch."""
    model, _ = make_context()
    given = inputs()
    condition = condition_of(model, given)
    shown = model(given["sample"], given["timestep"], condition).sample
    condition[1] = 0
    made = model(given["sample"], given["timestep"], condition).sample
    torch.testing.assert_close(made[0], shown[0])
    assert not torch.allclose(made[1], shown[1])


@torch.no_grad()
def test_what_is_seen_of_the_source_changes_the_picture_of_one_vector():
    model, _ = make_context()
    given = inputs()
    condition = condition_of(model, given)
    other = condition.clone()
    other[:, WIDTH:] = condition_of(model, given | {"source_latent": given["sample"]})[:, WIDTH:]
    asked = (given["sample"], given["timestep"])
    assert not torch.allclose(model(*asked, condition).sample, model(*asked, other).sample)


def test_the_gradient_reaches_the_embedding_and_every_block():
    model, _ = make_context()
    given, gradients = inputs(), []
    for _ in range(2):
        condition = condition_of(model, given)
        model(given["sample"], given["timestep"], condition).sample.square().mean().backward()
        assert all(block.attn.to_kv.weight.grad.any() for block in model.blocks)
        gradients.append(model.type_embedding.grad.clone())
        model.zero_grad()
        model.enable_gradient_checkpointing()  # for the second time
    assert gradients[0].abs().min() > 0
    torch.testing.assert_close(*gradients)


def test_fresh_weights_are_the_plain_models_and_an_embedding():
    plain = make_model(randomize=False, **SETTINGS)
    torch.manual_seed(0)
    model = ContextTransformer2DModel(**{
        name: value for name, value in plain.config.items() if not name.startswith("_")
    })  # fmt: skip
    assert model.num_parameters() == plain.num_parameters() + WIDTH
    state = model.state_dict()
    assert state.pop("type_embedding").std() == pytest.approx(0.02, rel=0.5)
    assert_same_tensors(state, plain.state_dict())


def test_its_arguments_are_those_of_the_plain_model():
    classes = (ContextTransformer2DModel, XMDPTTransformer2DModel)
    assert inspect.signature(classes[0]) == inspect.signature(classes[1])
    assert ContextTransformer2DModel._repeated_blocks == ["ContextBlock"]


@pytest.mark.parametrize("kind", [ContextTransformer2DModel, XMDPTTransformer2DModel])
def test_saved_weights_say_that_they_have_it(tmp_path, kind, caplog):
    model, plain = make_context()
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert type(again) is ContextTransformer2DModel and again.config.source_tokens_in_context
    assert_same_tensors(again.state_dict(), model.state_dict())
    assert "source_tokens_in_context" not in plain.config
    assert not caplog.records, "nothing in the files is unknown"


def test_weights_are_not_taken_for_those_of_another_design(tmp_path):
    model, plain = make_context()
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(ValueError, match="names XMDPTTransformer2DModel, which is neither"):
        ContextTransformer2DModel.from_pretrained(tmp_path / "plain")
    wanted = load_config("profiles/context.yaml", "no_mask").model
    assert differences(wanted, model)["source_tokens_in_context"] == (False, True)
    assert "source_tokens_in_context" not in differences(wanted, plain)


def test_there_is_no_masked_pass():
    with pytest.raises(ValueError, match="needs mip_attention 'none'"):
        ContextTransformer2DModel(hidden_size=32, depth=3, num_heads=2, mip_attention="self")
    model, _ = make_context()
    given = inputs()
    with pytest.raises(ValueError, match="no masked pass"):
        model(
            given["sample"], given["timestep"], condition_of(model, given),
            given["source_latent"], torch.rand(2, 16),
        )  # fmt: skip


# In the pipeline


@pytest.fixture(scope="module")
def pipe(tiny_vae):
    made = XMDPTPipeline(
        copy.deepcopy(tiny_vae), make_context()[0], make_pipeline(tiny_vae).scheduler
    )
    made.set_progress_bar_config(disable=True)
    return made


def photo_and_poses():
    photo = torch.randint(0, 256, (SIZE, SIZE, 3), generator=torch.Generator().manual_seed(0))
    return photo.to(torch.uint8).numpy(), [body(0.18, (4, 4)), body(0.2, (8, 4))]


def draw(pipe, source, pose, seeds, **settings):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return pipe(
        source, pose, num_inference_steps=3, generator=generators, output_type="latent", **settings
    ).images


def test_a_batch_of_two_equals_two_alone(pipe):
    photo, poses = photo_and_poses()
    together = draw(pipe, photo, poses, (0, 1))
    alone = [draw(pipe, photo, pose, [seed]) for seed, pose in enumerate(poses)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)
    other = draw(pipe, photo[::-1].copy(), poses, (0, 1))
    assert not torch.allclose(together, other)


def test_the_source_goes_through_the_network_once_for_all_steps(pipe):
    photo, poses = photo_and_poses()
    calls = []
    hook = pipe.transformer.blocks[0].register_forward_hook(
        lambda *call: calls.append(len(call[2]))
    )
    draw(pipe, photo, poses[0], [0])
    hook.remove()
    assert calls == [1, 2, 2, 2], "the source, and both guidance passes of three steps"


def test_a_saved_pipeline_draws_the_same(pipe, tmp_path):
    photo, poses = photo_and_poses()
    pipe.save_pretrained(tmp_path)
    again = XMDPTPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert type(again.transformer) is ContextTransformer2DModel
    made, before = (draw(one, photo, poses[0], [0]) for one in (again, pipe))
    torch.testing.assert_close(made, before, rtol=1e-4, atol=1e-4 * before.abs().max().item())
