"""The study: what the paper claims of rows that were trained several times each, and the verdicts.

`design` reads claims.yaml, which was written before the first run, and `verdicts` weighs its claims
by the scores of all rows, seeds and people. May import `metrics` and the floors below. Explained in
docs/study.md.
"""
