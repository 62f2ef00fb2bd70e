"""The page of `xmdpt demo`: a person, a pose to drag about, pictures."""
