"""Anybody's photo in anybody's pose: reading, finding people, framing, drawing, marking."""
