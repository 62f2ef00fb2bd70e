"""What the notebooks that teach and those that play with one switch call; no stage reaches it."""
