"""What joins a student and a class: ``lab join``, ``lab hand``, ``lab leave``, ``lab class``."""

import random
from collections.abc import Callable

import click

from lab_env.ground.errors import BrokerError, LabError
from lab_env.messages import say

# the alphabet that pilots spell with: nobody mishears these
SPELLED = (
    "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett",
    "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango",
    "uniform", "victor", "whiskey", "xray", "yankee", "zulu",
)  # fmt: skip
LOOK = 1.0  # s between two pictures


@click.command(help=say("classroom.help_join"))
@click.argument("word", required=False)
@click.option("--name", help=say("classroom.help_name"))
def join(word: str | None, name: str | None) -> None:
    from lab_env.classroom import membership, records, sending

    if word is None:
        _tell_what_was_sent()
        return
    before = membership.kept()
    if name is None and before is not None and before.word == word:
        name = before.name
    member = membership.join(word, name or click.prompt(say("classroom.ask_name")))
    sending.now(member, records.NAME, {"name": member.name})
    click.echo(say("classroom.joined", word=member.word, name=member.name, topic=member.topic))
    click.echo(say("classroom.what"))


@click.command(help=say("classroom.help_hand"))
@click.option("--down", is_flag=True, help=say("classroom.help_down"))
def hand(down: bool) -> None:
    from lab_env.classroom import membership, records, sending

    member = membership.current()
    if member is None:
        click.echo(say("classroom.in_none"))
        return
    sending.now(member, records.HAND, {"up": not down})
    click.echo(say("classroom.hand_down" if down else "classroom.hand_up", word=member.word))


@click.command(help=say("classroom.help_leave"))
def leave() -> None:
    from lab_env.classroom import membership

    try:
        member = membership.leave()
    except LabError as error:
        raise BrokerError("classroom.left_offline", why=error) from None
    if member is None:
        click.echo(say("classroom.in_none"))
    else:
        click.echo(say("classroom.has_left", word=member.word, topic=member.topic))


@click.command("class", help=say("classroom.help_class"))
@click.argument("word", required=False)
@click.option("--once", is_flag=True, help=say("classroom.help_once"))
@click.option("--end", is_flag=True, help=say("classroom.help_end"))
def watch_class(word: str | None, once: bool, end: bool) -> None:
    from rich.console import Console

    from lab_env.classroom import membership, projector, watching
    from lab_env.clusters import client_config

    word = (word or _new_word()).lower()
    if end:
        membership.end_class(word)
        click.echo(say("classroom.ended", word=word))
        return
    membership.open_class(word)
    console, picture = Console(), projector.Projector(word)
    with watching.Watcher(client_config.of_class().connection, word) as watcher:
        if once:
            _until_all_is_read(watcher)
            console.print(picture.draw(watcher.gathering, watcher.answers))
        else:
            live(console, picture, watcher)


def live(console, picture, watcher, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Draw again and again until a key ends it; a picture that would be the same is not drawn.

    Args:
        console: rich's.
        picture: a `Projector`.
        watcher: a `Watcher` of the class.
        goes_on: asked after each look.
    """
    from rich.live import Live

    from lab_env.classroom import projector

    drawn = None
    with (
        projector.pressed() as keys,
        Live(console=console, screen=console.is_terminal, auto_refresh=False) as screen,
    ):
        while goes_on():
            watcher.look(LOOK)
            while keys:
                drawn = None
                if not picture.press(keys.popleft(), watcher.gathering):
                    return
            seen = (watcher.gathering.changes, watcher.answers, console.size)
            if seen != drawn:
                screen.update(picture.draw(watcher.gathering, watcher.answers), refresh=True)
                drawn = seen


def _until_all_is_read(watcher) -> None:
    """Look until two looks have brought nothing new."""
    still, seen = 0, -1
    while still < 2:
        watcher.look(LOOK)
        still = still + 1 if watcher.gathering.changes == seen else 0
        seen = watcher.gathering.changes


def _new_word() -> str:
    return f"{random.choice(SPELLED)}-{random.randint(10, 99)}"


def _tell_what_was_sent() -> None:
    """Show each record that has left this machine, as it was."""
    from lab_env.classroom import membership

    member = membership.current()
    if member is None:
        click.echo(say("classroom.in_none"))
        return
    click.echo(say("classroom.in_class", word=member.word, name=member.name, topic=member.topic))
    try:
        click.echo(membership.sent_file().read_text(encoding="utf-8"), nl=False)
    except OSError:
        click.echo(say("classroom.nothing_sent"))
