"""TDNet, CANet and MIPNet: counts, switches, dead compute, masking."""

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import make_model

from xmdpt.model import (
    Attention,
    RelativePositionBias,
    XMDPTTransformer2DModel,
    relative_position_index,
)

SIZES = {  # hidden_size, depth, num_heads: parameters with and without MIPNet
    (384, 12, 6): (39_117_301, 33_785_413),
    (768, 12, 12): (153_731_269, 132_450_661),
    (1024, 24, 16): (498_945_445, 461_134_117),
}


def inputs(model, batch=2):
    config = model.config
    torch.manual_seed(1)
    latent = (batch, config.in_channels, config.sample_size, config.sample_size)
    return {
        "sample": torch.randn(latent),
        "timestep": torch.tensor([3, 900])[:batch],
        "source_latent": torch.randn(latent),
        "mask_noise": torch.rand(batch, model.num_patches),
        "pose_tokens": torch.randn(batch, config.pose_tokens, config.pose_width),
        "source_tokens": torch.randn(batch, config.source_tokens, config.source_width),
    }


def condition_of(model, given):
    return model.encode_condition(
        given["pose_tokens"], given["source_tokens"], given["source_latent"]
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("attention", ["self_cross", "none"])
def test_parameter_counts(size, attention):
    hidden, depth, heads = size
    config = {"hidden_size": hidden, "depth": depth, "num_heads": heads}
    with torch.device("meta"), torch.no_grad():
        model = XMDPTTransformer2DModel(**config, mip_attention=attention)
    assert model.num_parameters() == SIZES[size][attention == "none"]


def test_a_new_model_predicts_zero_and_every_block_is_the_identity():
    model = make_model(randomize=False)
    given = inputs(model)
    out = model(given["sample"], given["timestep"], condition_of(model, given)).sample
    assert out.shape == (2, 8, 8, 8)
    assert out.abs().max() == 0
    tokens = torch.randn(2, model.num_patches, 32)
    assert torch.equal(model.blocks[0](tokens, torch.randn(2, 32)), tokens)


def test_attention_equals_the_plain_formula():
    torch.manual_seed(0)
    attention = Attention(dim=12, num_heads=3, grid=2)
    torch.nn.init.normal_(attention.position_bias.table)
    x, context = torch.randn(2, 2, 4, 12)
    query = attention.to_q(x).view(2, 4, 3, 4).transpose(1, 2)
    key, value = attention.to_kv(context).view(2, 4, 2, 3, 4).permute(2, 0, 3, 1, 4)
    bias = attention.position_bias.table[relative_position_index(2)].permute(2, 0, 1)
    weights = F.softmax(query @ key.transpose(-1, -2) / 2 + bias, dim=-1)
    expected = attention.to_out((weights @ value).transpose(1, 2).reshape(2, 4, 12))
    torch.testing.assert_close(attention(x, context), expected)


def test_relative_position_depends_on_the_offset_alone():
    index = relative_position_index(3)
    assert index.shape == (9, 9)
    assert index[0, 4] == index[4, 8]  # one down, one right
    assert index[0, 1] != index[1, 0]
    assert len(index.unique()) == 25


def test_bias_of_kept_tokens_is_a_part_of_the_whole():
    attention = Attention(dim=4, num_heads=2, grid=3)
    torch.nn.init.normal_(attention.position_bias.table)
    keep = torch.tensor([[0, 4, 7], [1, 2, 8]])
    whole = attention.position_bias()[0]
    part = attention.position_bias(keep)
    for row in range(2):
        assert torch.equal(part[row], whole[:, keep[row]][:, :, keep[row]])


@pytest.mark.parametrize("attention", ["self", "cross", "cross_self", "self_cross"])
@torch.no_grad()
def test_kept_tokens_bypass_mipnet(attention):
    model = make_model(mip_attention=attention)
    keep = model.kept_tokens(torch.rand(2, model.num_patches))
    assert keep.shape == (2, int(model.num_patches * 0.7))
    x, context = torch.randn(2, 2, model.num_patches, 32)
    out = model.mipnet(x, torch.randn(2, 32), context, keep)
    kept = torch.zeros(2, model.num_patches, dtype=torch.bool).scatter(1, keep, True)
    assert torch.equal(out[kept], x[kept])
    assert (out[~kept] != x[~kept]).all(dim=1).all()


@torch.no_grad()
def test_hidden_target_tokens_do_not_reach_the_masked_pass():
    model = make_model()
    given = inputs(model)
    condition = condition_of(model, given)
    keep = model.kept_tokens(given["mask_noise"])
    hidden = torch.ones(2, model.num_patches).scatter(1, keep, 0).view(2, 1, 4, 4)
    noise = torch.randn_like(given["sample"]) * F.interpolate(hidden, scale_factor=2)
    rest = (given["timestep"], condition, given["source_latent"], given["mask_noise"])
    first = model.masked_forward(given["sample"], *rest).sample
    torch.testing.assert_close(model.masked_forward(given["sample"] + noise, *rest).sample, first)
    assert not torch.allclose(model.masked_forward(given["sample"] + 1, *rest).sample, first)


def test_no_gradient_into_the_source_of_the_masked_pass():
    model = make_model()
    given = inputs(model)
    source = given["source_latent"].requires_grad_()
    condition = torch.randn(2, 32)
    out = model.masked_forward(
        given["sample"], given["timestep"], condition, source, given["mask_noise"]
    ).sample
    assert not torch.autograd.grad(out.sum(), source, allow_unused=True)[0]


@pytest.mark.parametrize("sources", ["local", "global", "both"])
@pytest.mark.parametrize("aggregation", ["mlp", "add", "concat"])
@torch.no_grad()
def test_canet_uses_the_sources_it_says(sources, aggregation):
    model = make_model(canet_sources=sources, aggregation=aggregation)
    given = inputs(model)
    vector = condition_of(model, given)
    assert vector.shape == (2, 32)
    for name, used in {
        "pose_tokens": True,
        "source_tokens": sources != "local",
        "source_latent": sources != "global",
    }.items():
        changed = condition_of(model, given | {name: given[name] + torch.randn_like(given[name])})
        assert torch.allclose(changed, vector) != used, name


def test_gradient_checkpointing_changes_nothing():
    plain, checkpointed = make_model().train(), make_model().train()
    checkpointed.enable_gradient_checkpointing()
    gradients = []
    for model in (plain, checkpointed):
        given = inputs(model)
        condition = condition_of(model, given)
        out = model(given["sample"], given["timestep"], condition).sample
        masked = model(
            given["sample"], given["timestep"], condition,
            given["source_latent"], given["mask_noise"],
        ).sample  # fmt: skip
        (out + masked).square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_save_and_load(tmp_path):
    model = make_model(mip_attention="cross", aggregation="concat", mask_ratio=0.5)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").exists()
    again = XMDPTTransformer2DModel.from_pretrained(tmp_path)
    assert again.config.mask_ratio == 0.5
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


@torch.no_grad()
def test_scalar_timestep_serves_the_batch():
    model = make_model()
    given = inputs(model)
    condition = condition_of(model, given)
    one = model(given["sample"], torch.tensor(7), condition).sample
    torch.testing.assert_close(one, model(given["sample"], torch.tensor([7, 7]), condition).sample)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sample_size": 9}, "sample_size 9"),
        ({"num_heads": 5}, "num_heads 5"),
        ({"mask_ratio": 0.99}, "mask_ratio 0.99 leaves none of"),
        ({"decode_layers": 3}, "decode_layers 3"),
        ({"mip_attention": "both"}, "mip_attention 'both'"),
        ({"canet_sources": "all"}, "canet_sources 'all'"),
        ({"aggregation": "max"}, "aggregation 'max'"),
    ],
)
def test_impossible_settings_are_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_model(**changes)


@pytest.mark.parametrize("keep", [None, torch.tensor([[0, 3, 5]])])
def test_position_biases_are_laid_out_as_fused_attention_wants_masks(keep):
    bias = RelativePositionBias(grid=3, num_heads=2)(keep)
    assert bias.stride(-1) == 1 and bias.shape[:2] == (1, 2)


def test_no_masked_pass_without_mipnet():
    model = make_model(mip_attention="none")
    given = inputs(model)
    with pytest.raises(ValueError, match="no masked pass"):
        model.masked_forward(
            given["sample"], given["timestep"], torch.zeros(2, 32),
            given["source_latent"], given["mask_noise"],
        )  # fmt: skip


def test_the_masked_pass_asks_for_the_source_that_mipnet_attends_to():
    cross, own = make_model(mip_attention="cross"), make_model(mip_attention="self")
    given = inputs(own)
    arguments = (given["sample"], given["timestep"], torch.zeros(2, 32), None, given["mask_noise"])
    assert own(*arguments).sample.shape == (2, 8, 8, 8)
    with pytest.raises(ValueError, match="needs source_latent"):
        cross(*arguments)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_blocks_equal_eager_ones():
    model = make_model()
    given = inputs(model)
    condition = condition_of(model, given)
    masked = (given["source_latent"], given["mask_noise"])
    eager = [
        model(given["sample"], given["timestep"], condition, *extra).sample
        for extra in ((), masked)
    ]
    model.compile_repeated_blocks()
    for extra, expected in zip(((), masked), eager, strict=True):
        compiled = model(given["sample"], given["timestep"], condition, *extra).sample
        torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-4)


def test_fresh_weights_are_drawn_as_the_authors_draw_them():
    model = make_model(randomize=False, hidden_size=128, num_heads=4)
    model.initialize_weights()
    width = model.config.hidden_size

    def spread(weight):
        return weight.std().item()

    fused = pytest.approx((2 / (4 * width)) ** 0.5, rel=0.03)  # one matrix of 3D x D
    for block in (*model.blocks, model.mipnet.blocks["self"]):
        assert spread(block.attn.to_q.weight) == fused == spread(block.attn.to_kv.weight)
    cross = model.mipnet.blocks["cross"].attn
    assert spread(cross.to_q.weight) == pytest.approx((2 / (2 * width)) ** 0.5, rel=0.03)
    assert spread(cross.to_kv.weight) == pytest.approx((2 / (3 * width)) ** 0.5, rel=0.03)
    tables = [
        block.attn.position_bias.table for block in (*model.blocks, *model.mipnet.blocks.values())
    ]
    assert spread(torch.cat(tables)) == pytest.approx(0.02, rel=0.1)
    canet = [model.canet.pose_projection.linear, model.canet.source_projection.linear]
    for linear in (*canet, model.canet.join.linear):
        assert spread(linear.weight) == pytest.approx(0.02, rel=0.05)
    pools = (model.canet.pose_pool, model.canet.source_pool, model.canet.local_pool)
    assert spread(torch.cat([pool.conv.weight.flatten() for pool in pools])) == pytest.approx(
        0.02, rel=0.3
    )
    assert not any(linear.bias.any() for linear in canet)
    for linear in (model.time_embedding.linear_1, model.time_embedding.linear_2):
        assert spread(linear.weight) == pytest.approx(0.02, rel=0.05)
    assert spread(model.mipnet.mask_token) == pytest.approx(0.02, rel=0.3)
    patch = model.patch_embed.proj.weight.flatten(1)
    assert spread(patch) == pytest.approx((2 / sum(patch.shape)) ** 0.5, rel=0.05)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["self", "cross", "cross_self", "self_cross"])
def test_mipnets_blocks_run_in_the_order_of_its_name(attention):
    model, seen = make_model(mip_attention=attention), []
    for name, block in model.mipnet.blocks.items():
        block.register_forward_hook(
            lambda _, given, __, name=name: seen.append((name, given[2] is not None))
        )
    x, context = torch.randn(2, 2, 16, 32)
    model.mipnet(x, torch.randn(2, 32), context, model.kept_tokens(torch.rand(2, 16)))
    assert seen == [(name, name == "cross") for name in attention.split("_")]


@torch.no_grad()
def test_added_vectors_are_their_plain_sum():
    model = make_model(aggregation="add")
    canet, given = model.canet, inputs(model)
    terms = [
        canet.pose_pool(canet.pose_projection(given["pose_tokens"])),
        canet.source_pool(canet.source_projection(given["source_tokens"])),
        canet.local_pool(model._embed(given["source_latent"])),
    ]
    torch.testing.assert_close(condition_of(model, given), sum(terms))


def test_first_weights_of_a_seed_are_alike_where_all_layers_are():
    def first(**changes):
        torch.manual_seed(0)
        return make_model(**changes).blocks[0].attn.to_q.weight

    assert torch.equal(first(mask_ratio=0.3), first(mask_ratio=0.7))
    assert not torch.equal(first(mip_attention="self_cross"), first(mip_attention="none"))
