"""AdamW, as in the paper; or, as an extension, Muon for the matrices of the blocks."""

import torch
from torch import nn

from xmdpt.config import TrainConfig
from xmdpt.model import TDNetBlock, XMDPTTransformer2DModel


def make_optimizers(
    model: XMDPTTransformer2DModel, config: TrainConfig
) -> list[torch.optim.Optimizer]:
    """The optimizers that together step every parameter of `model`, each at one learning rate.

    `adamw` is the paper's. `muon` orthogonalises the updates of the blocks' weight matrices (K.
    Jordan et al., 2024), scaled to the size of AdamW's (J. Liu et al., 2025), so that the same
    rate serves both; embeddings, biases, CANet and the final layer stay with AdamW.
    """
    settings = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(model.parameters(), **settings)]
    matrices = [
        module.weight
        for block in model.modules()
        if isinstance(block, TDNetBlock)
        for module in block.modules()
        if isinstance(module, nn.Linear)
    ]
    taken = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    return [
        torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **settings),
        torch.optim.AdamW(others, **settings),
    ]
