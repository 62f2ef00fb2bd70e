"""The command that does a machine's share of a stage."""

import sys
from typing import Annotated, Literal

import typer

from xmdpt.commands.options import run_names
from xmdpt.support.arguments import check_clone, one_line


def stage(
    name: Annotated[
        Literal["render", "features", "sample", "evaluate"], typer.Argument(help="Which stage.")
    ],
    run: Annotated[
        str | None,
        typer.Argument(
            help="For sample and evaluate: a run of params.yaml.", autocompletion=run_names
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="i/n, from 0/n to n-1/n; default: torchrun's RANK and WORLD_SIZE."),
    ] = None,
) -> None:
    """Do one machine's share of a stage in a folder that all machines see, skipping what is done.

    When all shards have ended, run the stage itself (`dvc repro`). It does what
    is missing, checks counts and digests, and puts the result together, byte for
    byte as one process would make it.

    Examples:
    xmdpt stage features --shard 0/8
    xmdpt stage sample base_b --shard 3/8
    torchrun --nproc-per-node 8 -m xmdpt stage sample base_b
    """
    from xmdpt.data.stores import DataError
    from xmdpt.stages.shards import do_shard
    from xmdpt.support.hub import MissingWeights
    from xmdpt.support.shards import read_shard

    check_clone()
    share = read_shard(shard)
    with one_line(DataError, MissingWeights):
        do_shard(name, run, share)
    print(f"{name}: shard {share.index}/{share.count} is done", file=sys.stderr)
