"""The study: what the paper claims of rows that were trained several times each, and the verdicts.

`design` reads claims.yaml, which was written before the first run; `runs` trains a row with a seed
and draws with it, `workers` carries out all runs, one on each core, and `status` says how far they
are; `scores` scores what was drawn, and gathers rows, seeds and people; `verdicts` weighs the
claims; `findings` has it all, `page` and `figures` show it, `beside` sets the verdicts beside what
another run says, and `kept` opens what is kept of the runs. May import `paper`, `training`,
`weights`, `evaluation`, `metrics` and the floors below. Explained in docs/results/study.md.
"""
