"""Text that must not be seen: passwords on their way to a client."""

import re

MASK = "***"
NAMES = re.compile(r"PASSWORD|SECRET|TOKEN|JAAS", re.IGNORECASE)


class Secret(str):
    """A text that shows itself as stars, in a repr, an error, a log or a saved notebook.

    Clients that encode it get the text itself.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self):
        return Secret, (self.reveal(),)

    def reveal(self) -> str:
        """Return the text, as a plain str."""
        return "".join(self)


def plain(text: str) -> str:
    """Return a text itself, secret or not, for one who has to write it down."""
    return text.reveal() if isinstance(text, Secret) else text


def masked(name: str, value: str) -> str:
    """Return what may be told of a variable: stars if its name speaks of a secret."""
    return MASK if NAMES.search(name) else value


class Settings(dict):
    """Settings of a client whose repr tells no secret, for one that takes nothing but plain text.

    What they are unpacked into shows them: unpack them where the client is made.
    """

    def __repr__(self) -> str:
        return repr({name: masked(name, value) for name, value in self.items()})
