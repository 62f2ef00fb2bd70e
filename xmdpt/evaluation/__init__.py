"""Scoring result pictures against references: who wins, by whose rules, and how surely.

`protocols` holds the rules as records. `preparation`, `networks` and `features` carry them out,
`results` finds and pairs the files, `evaluate` scores one folder. `summary` and `compare` set
several folders side by side, `baselines` makes the ones that every method is measured against.
May import `metrics`, `pipeline` and the floors below. Explained in docs/evaluation.md.
"""

from xmdpt.evaluation.evaluate import evaluate, evaluate_pairs

__all__ = ["evaluate", "evaluate_pairs"]
