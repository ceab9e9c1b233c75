"""Grades a class: reads submissions, runs each behind a fence, and asks the broker what came of it.

`submissions` takes the student's own cells out of a notebook; `runs` has each worked through by a
`worker` of its own, behind a `fence`; `witness` judges from outside of the student's process, by
what `inside` tells it of that; `verdicts` writes down what came of it.
"""
