"""A dashboard: the pictures of one cell beside each other, two in a row."""

from lab_env.figures.engine.live import in_notebook
from lab_env.messages import say

SCALE = 1.5  # of words and lines: each picture gets half of the page
DETAIL = 0.85  # of the pixels across that a picture has alone

# Jupyter puts the outputs of a cell below each other. These rules hold for the cell alone in which
# the page stands; where a front end does not know them, the pictures stay below each other.
AREA = ".jp-OutputArea:has(> .jp-OutputArea-child .lab-dashboard)"
CHILD = f"{AREA} > .jp-OutputArea-child"
PAGE = f"""\
<style>
{AREA} {{ display: flex; flex-wrap: wrap; position: relative; }}
{CHILD} {{ position: absolute; width: 1px; overflow: hidden; padding: 0; }}
{CHILD}:has(img) {{ position: static; display: block; width: 50%; }}
{CHILD}:has(img) .jp-OutputPrompt {{ display: none; }}
{CHILD}:has(img) .jp-OutputArea-output {{ width: 100%; padding: 0; }}
{CHILD}:has(img) img {{ width: 100%; height: auto; max-width: none; }}
</style>
<div class="lab-dashboard"></div>"""


def begin() -> None:
    """Make the running cell a dashboard, if this is a notebook."""
    if in_notebook():
        from IPython.display import display

        display({"text/html": PAGE, "text/plain": say("figures.dashboard")}, raw=True)
