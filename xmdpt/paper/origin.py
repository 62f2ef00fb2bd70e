"""What the weights of a run are and how they score, for the model card of their export."""

from pathlib import Path

from xmdpt.config import Checkpoint, Config, Objective
from xmdpt.metrics.labels import FEW, FEW_ABOUT, METRICS
from xmdpt.paper.scores import PRINTED, Results, drawing_in_words, heading, score_text
from xmdpt.support.git import UNKNOWN, commit_of
from xmdpt.support.place import CLONE

PREDICTS: dict[Objective, str] = {
    "epsilon": "the noise, as in the paper",
    "flow": "a velocity (flow matching), unlike the paper",
}


def origin_of(run: str, checkpoint: Checkpoint, params: str | Path = "params.yaml") -> str:
    """Where the weights of a run come from, in Markdown, with their scores if there are any."""
    results = Results(params)
    config = results.of_run(run)
    sample = config.sample
    rows = {
        "run": f"`{run}` ({config.experiments[run].title}), checkpoint `{checkpoint}`",
        "data": results.data,
        "training": _training(config, run, checkpoint),
        "predicts": f"{PREDICTS[config.train.objective]} (objective `{config.train.objective}`)",
        "drawing": f"{drawing_in_words(config)}, guidance scale {sample.guidance_scale:g}, "
        f"power {sample.guidance_power:g}",
        "code": _code(),
    }
    lines = [f"| {name} | {text} |" for name, text in rows.items() if text]
    parts = ["## Where the weights come from", "\n".join(["| | |", "|---|---|", *lines])]
    return "\n\n".join([*parts, *_scores(results, run, checkpoint)])


def _training(config: Config, run: str, checkpoint: Checkpoint) -> str:
    train = config.train
    steps = train.checkpoints[checkpoint]
    if file := config.experiments[run].released:
        return f"{steps:,} steps by the authors, who published `{Path(file).name}`"
    start = "from scratch" if train.init is None else f"from the weights in `{train.init}`"
    seen = f" of {train.batch_size:,} pairs, {steps * train.batch_size:,} samples in all"
    if train.resume is not None:
        seen = ", in part with other settings"  # so perhaps with other batches
    return f"{start}, {steps:,} steps{seen}, seed {config.training_seed}"


def _code() -> str:
    """The commit of the package, which the weights do not record; empty where it is not known."""
    commit, dirty, _ = commit_of("xmdpt", folder=CLONE).partition("-dirty")
    if commit == UNKNOWN:
        return ""
    return f"commit {commit}{' and changes' if dirty else ''}, at the export"


def _scores(results: Results, run: str, checkpoint: Checkpoint) -> list[str]:
    """Paragraphs with the protocol's counterparts of the paper's metrics; none without scores."""
    row = results.rows(run).get(checkpoint)
    if row is None:
        return []
    texts = {name: score_text(row, name) for name in map(results.metric, PRINTED)}
    lines = [
        f"| {heading(name)} | {text} | {METRICS[name].about} |"
        for name, text in texts.items()
        if text is not None
    ]
    protocol = results.config.evaluate.protocol
    parts = [
        "## Scores",
        f"Of {row['count']:,.0f} test pairs, by the protocol `{protocol}` of xmdpt:",
        "\n".join(["| | | |", "|---|---|---|", *lines]),
    ]
    few = any(text.endswith(FEW) for text in texts.values() if text is not None)
    return [*parts, f"{FEW_ABOUT}."] if few else parts
