"""Metrics and protocols of pose-guided person image synthesis."""

from xmdpt.evaluation.evaluate import evaluate, evaluate_pairs

__all__ = ["evaluate", "evaluate_pairs"]
