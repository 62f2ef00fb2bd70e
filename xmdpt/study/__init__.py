"""The study: what the paper claims of rows that were trained several times each, and the verdicts.

`design` reads claims.yaml, which was written before the first run; `scores` scores what a row drew,
and gathers all rows, seeds and people; `verdicts` weighs the claims by them. May import
`evaluation`, `metrics` and the floors below. Explained in docs/study.md.
"""
