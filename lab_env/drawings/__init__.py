"""Still drawings of the mechanisms that the lessons measure, one each: code makes them, as SVG.

``python -m lab_env.drawings`` writes them into ``notebooks/drawings``. A lesson shows one by
``![its text alternative](drawings/NAME.svg)``; the text alternative is the drawing's own.
"""
