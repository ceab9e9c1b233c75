"""How large the words and lines of a picture are to begin with: what ``KAFKA_LAB_SCALE`` says."""

import os

from lab_env.ground.errors import BadInputError

VARIABLE = "KAFKA_LAB_SCALE"
LAPTOP, ROOM = 1.0, 1.5  # read from near, and from the back of a room
SMALLEST, LARGEST = 0.5, 3.0


def scale(usual: float = LAPTOP) -> float:
    """Return the scale that ``KAFKA_LAB_SCALE`` names, else the usual one.

    Args:
        usual: where the variable names none.

    Raises:
        BadInputError: it is no number, or one with which no picture can be read.
    """
    word = os.environ.get(VARIABLE, "").strip()
    if not word:
        return usual
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not SMALLEST <= number <= LARGEST:
        limits = {"least": SMALLEST, "most": LARGEST}
        raise BadInputError("presenting.bad_scale", variable=VARIABLE, got=word, **limits)
    return number


def checked(number: object) -> float:
    """Return a scale that somebody has set in a cell.

    Raises:
        BadInputError: it is no number, or one with which no picture can be read.
    """
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not is_number or not SMALLEST <= number <= LARGEST:
        raise BadInputError("figures.bad_scale", got=number, least=SMALLEST, most=LARGEST)
    return float(number)
