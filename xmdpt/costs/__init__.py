"""What networks of the paper's size cost in time, memory and operations (Tables 2(f), 3 and 5).

`full_size.py` lists the networks, `efficiency.py` counts and times them, `tables.py` sets the
results beside the paper's and draws Figure 1, and `claims.py` judges what the paper says of them.
`savings.py` times what each change to the authors' way saves, `savings_table.py` shows it, and
`growth.py` repeats it for more tokens and pictures. `whole.py` times whole pictures of given
weights, by each preset. Tables and claims need no torch. The room may import `paper` and everything
below it. When a claim on cost counts as supported is explained in docs/evaluate.md.
"""
