"""Small tools without a subject of their own, for every room above.

`files` writes files and folders whole or not at all, of which `owner` lets one process at a time
work on one, `disk` says why it could not, `notices` catches what a scheduler sends, `start` and
`ends` begin and end a process, `git` says which commit runs, `network` says whether a server
answers, `hub` loads pretrained weights, `place` says whether this is a clone, `cores` what this
process may use, `compiler` finds a C++ compiler, `precision` chooses number formats, `random` makes
keyed generators, `progress` says how far long work is, `pictures` converts between uint8 and float
pictures, `workers` does jobs side by side, `shards` divides a stage's work among machines,
`arguments` checks command-line arguments. May import `config`. docs/understand/architecture.md
explains how stages write their folders.
"""
