"""Text that must not be seen: passwords on their way to a client."""

import re

MASK = "***"
NAMES = re.compile(r"PASSWORD|SECRET|TOKEN|JAAS", re.IGNORECASE)


class Secret(str):
    """A text that shows itself as stars, in a repr, an error, a log or a saved notebook.

    Clients that encode or join it get the text itself, and so do json and csv: what writes down
    the characters of a text cannot be kept from it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __add__(self, other: str) -> "Secret":
        return Secret(super().__add__(other))

    def __radd__(self, other: str) -> "Secret":
        return Secret(other + self.reveal())

    def __reduce__(self):
        return type(self), (self.reveal(),)

    def reveal(self) -> str:
        """Return the text, as a plain str."""
        return "".join(self)


class Handed(Secret):
    """A secret for a client in C, which asks for the ``str()``: that, and print, show the text."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.reveal()


def plain(text: str) -> str:
    """Return a text itself, secret or not, for one who has to write it down."""
    return text.reveal() if isinstance(text, Secret) else text


def masked(name: str, value: str) -> str:
    """Return what may be told of a variable: stars if its name speaks of a secret."""
    return MASK if NAMES.search(name) else value


class MaskedDict(dict):
    """Settings of a client whose repr tells no secret; so do those that are made of them by ``|``.

    In a plain dict, as unpacking makes it, it is the values alone that show themselves as stars.
    """

    def __repr__(self) -> str:
        return repr({name: masked(name, value) for name, value in self.items()})

    def __or__(self, other: dict) -> "MaskedDict":
        return MaskedDict({**self, **other}) if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: dict) -> "MaskedDict":
        return MaskedDict({**other, **self}) if isinstance(other, dict) else NotImplemented

    def copy(self) -> "MaskedDict":
        """Return the same settings once more."""
        return MaskedDict(self)

    __copy__ = copy
