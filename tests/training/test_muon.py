"""Muon, and AdamW beside it."""

import copy

import torch
from torch import nn

from xmdpt.training import muon
from xmdpt.training.muon import Muon, MuonAndAdamW, orthogonalized


def test_singular_vectors_stay_and_values_come_near_one():
    torch.manual_seed(0)
    for shape in ((3, 8, 8), (2, 8, 20), (2, 20, 8)):
        matrices = torch.randn(shape)
        made = orthogonalized(matrices)
        u, s, v = torch.linalg.svd(matrices, full_matrices=False)
        values = torch.linalg.svdvals(made)
        assert values.min() > 0.3 and values.max() < 1.3, "before, they lay further apart"
        assert s.amin() / s.amax() < 0.3
        inner = u.mT @ made @ v.mT
        off = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
        assert off.abs().max() < 1e-3


def test_it_steps_as_pytorchs_own():
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((6, 4), (4, 6), (6, 4), (5, 5))]
    theirs = copy.deepcopy(ours)
    one = Muon(ours, 0.02, weight_decay=0.1)
    other = torch.optim.Muon(
        theirs, lr=0.02, weight_decay=0.1, momentum=muon.MOMENTUM, adjust_lr_fn="match_rms_adamw"
    )
    before = [p.detach().clone() for p in ours]
    for _ in range(3):
        for mine, its in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            its.grad = mine.grad.clone()
        one.step()
        other.step()
    for mine, its, start in zip(ours, theirs, before, strict=True):
        moved = (its - start).norm()
        assert (mine - its).norm() < 0.03 * moved, "but for its bfloat16"


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3), nn.Conv1d(1, 1, 3))


def train(net, optimizer, steps, start=0):
    for step in range(start, start + steps):
        x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        (net(x[:, None]) - x[:, None, :1]).square().mean().backward()
        optimizer.step()


def test_linear_layers_are_muons_and_all_else_adamws():
    net = module()
    optimizer = MuonAndAdamW(net, 0.01, 0.0, 0.95)
    muons, adamws = (group["params"] for group in optimizer.param_groups)
    assert [tuple(p.shape) for p in muons] == [(8, 6), (3, 8)]
    assert len(muons) + len(adamws) == len([*net.parameters()])
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(net.state_dict())
    train(net, optimizer, 2)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_loaded_state_goes_on_as_if_never_stopped():
    whole, first = module(), module()
    train(whole, MuonAndAdamW(whole, 0.01, 0.1, 0.95), 6)
    optimizer = MuonAndAdamW(first, 0.01, 0.1, 0.95)
    train(first, optimizer, 3)
    second = module()
    second.load_state_dict(first.state_dict())
    other = MuonAndAdamW(second, 0.5, 0.1, 0.95)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert {group["lr"] for group in other.param_groups} == {0.01}
    train(second, other, 3, start=3)
    for one, two in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_format_goes_with_the_state_and_not_with_the_process():
    net = module()
    optimizer = MuonAndAdamW(net, 0.01, 0.0, 0.95, "bf16")
    train(net, optimizer, 1)
    other = MuonAndAdamW(module(), 0.01, 0.0, 0.95, "fp32")
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.param_groups[0]["precision"] == "bf16"
