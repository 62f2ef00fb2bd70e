"""Scoring result pictures against references: under which protocol, and with what uncertainty.

`protocols` holds the rules as records. `preparation`, `networks` and `features` carry them out,
`results` finds and pairs the files, `inspection` looks at them, `evaluate` scores one folder,
`shards` shares its pairs among processes.
`summary` and `compare` set several folders side by side, `baselines` makes the ones that every
method is measured against.
May import `metrics`, `pipeline` and the floors below. Explained in docs/evaluate.md.
"""

from xmdpt.evaluation.evaluate import evaluate, evaluate_pairs

__all__ = ["evaluate", "evaluate_pairs"]
