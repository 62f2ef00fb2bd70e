"""The alignment of tokens with the pose: its value, when it acts, and that it survives a stop."""

import pytest
import torch
from helpers.networks import assert_same_tensors, make_model

from xmdpt.config import ConfigError
from xmdpt.training.alignment import BLOCK, PoseAlignment


def aligned(tokens, pose_tokens):
    """The loss of an alignment whose head hands the first channels of the tokens on."""
    model = make_model(hidden_size=32, pose_width=8)
    alignment = PoseAlignment(model)
    alignment.head = torch.nn.Conv2d(32, 8, 1, bias=False)
    alignment.head.weight.data.copy_(torch.eye(8, 32)[..., None, None])
    alignment.tokens = tokens
    return alignment(pose_tokens)


def test_the_loss_is_one_less_the_cosine_to_what_differs_between_cells():
    cells = torch.randn(3, 16, 8)
    pose_tokens = torch.cat([torch.randn(3, 1, 8), cells + 5 * torch.randn(3, 1, 8)], dim=1)
    centred = cells - cells.mean(dim=1, keepdim=True)
    known = torch.cat([centred, torch.randn(3, 16, 24)], dim=2)
    for factor, loss in ((1, 0), (3, 0), (-1, 2)):
        found = aligned(factor * known, pose_tokens)
        torch.testing.assert_close(found, torch.full((3,), float(loss)))


def test_a_finer_grid_of_pose_tokens_is_averaged():
    cells = torch.randn(2, 4, 4, 8)
    fine = cells.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)
    coarse = torch.cat([torch.zeros(2, 1, 8), cells.flatten(1, 2)], dim=1)
    fine = torch.cat([torch.zeros(2, 1, 8), fine], dim=1)
    tokens = torch.randn(2, 16, 32)
    torch.testing.assert_close(aligned(tokens, fine), aligned(tokens, coarse))


def test_it_sees_the_full_pass_and_keeps_nothing():
    model = make_model()
    alignment = PoseAlignment(model)
    model(torch.randn(2, 4, 8, 8), torch.tensor([3, 4]), torch.zeros(2, 32))
    assert alignment.tokens.shape == (2, model.num_patches, 32)
    alignment(torch.randn(2, 17, 516))
    assert alignment.tokens is None


def test_it_acts_in_the_first_third_and_on_the_first_blocks_alone(trainer):
    steps = {"checkpoints": {"main": 6}, "precision": "fp32", "learning_rate": 0.0}
    plain, pulled = (list(trainer(alignment=weight, **steps).run(4)) for weight in (0.0, 10.0))
    differs = [a.grad_norm != b.grad_norm for a, b in zip(plain, pulled, strict=True)]
    assert differs == [True, True, False, False]
    assert all("alignment" in report.losses for report in pulled)
    made = trainer(alignment=1e6, **steps)
    next(made.run(1))
    # After a step the gradients are gone: its momentum says where they were.
    pull = {
        name: made.optimizer.state[value]["exp_avg"].abs().max().item()
        for name, value in made.model.named_parameters()
        if name.startswith("blocks.") and name.endswith("mlp.fc1.weight")
    }
    reached = [pull[f"blocks.{block}.mlp.fc1.weight"] for block in range(len(made.model.blocks))]
    assert min(reached[: BLOCK + 1]) > 1e3 * max(reached[BLOCK + 1 :])


def test_stopping_and_going_on_is_the_same(trainer, tmp_path):
    settings = {"alignment": 0.5, "objective": "flow", "checkpoints": {"main": 12}}
    whole, first, second = (trainer(**settings) for _ in range(3))
    list(whole.run(5))
    list(first.run(2))
    first.save(tmp_path / "state.pt")
    second.load(tmp_path / "state.pt")
    list(second.run(5))
    assert_same_tensors(second.model.state_dict(), whole.model.state_dict())
    assert_same_tensors(second.alignment.state_dict(), whole.alignment.state_dict())


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.5), (0.5, 0.0)])
def test_it_cannot_begin_or_end_with_a_state(trainer, tmp_path, before, after):
    trainer(alignment=before).save(tmp_path / "state.pt")
    with pytest.raises(ConfigError, match=r"state\.pt: .*train\.alignment"):
        trainer(alignment=after).load(tmp_path / "state.pt")
