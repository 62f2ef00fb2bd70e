"""Metrics and protocols of pose-guided person image synthesis."""

from xmdpt.evaluation.evaluate import bootstrap_interval, evaluate, evaluate_pairs

__all__ = ["bootstrap_interval", "evaluate", "evaluate_pairs"]
