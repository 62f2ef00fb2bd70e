"""What stops a training."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and what is left to resume from."""
