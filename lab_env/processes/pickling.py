"""Turns a student's function into bytes for another process, or names what cannot travel there."""

import dis
import functools
import inspect
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterator

from lab_env.ground.errors import BadInputError

Part = tuple[str, object]  # how the student would write it, and what it is


def check(function: object, args: tuple, name: str) -> None:
    """Raise BadInputError unless ``function(service, *args)`` is a call that can work."""
    if not callable(function) or inspect.isclass(function):
        raise BadInputError("service.no_function", got=type(function).__name__)
    for test in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        if test(function):
            raise BadInputError("service.no_plain_function", name=name)
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C do not tell
        return
    try:
        signature.bind(object(), *args)
    except TypeError as error:
        raise BadInputError(
            "service.arguments",
            name=name,
            signature=f"{name}{signature}",
            given=", ".join(["service", *(type(arg).__name__ for arg in args)]),
            reason=error,
        ) from None


def pack(function: Callable, args: tuple, name: str) -> bytes:
    """Return ``function`` and ``args`` as bytes, with the globals that the function uses.

    Raises BadInputError that names the variable or argument that belongs to this process alone.
    """
    try:
        return _dumps((function, args))
    except Exception as error:
        seen: set[int] = set()
        for place, parts in (
            ("service.cannot_travel_argument", _arguments(function, args)),
            ("service.cannot_travel", _parts(function, "")),
        ):
            if culprit := _culprit(parts, seen):
                path, value = culprit
                kind = type(value).__name__
                raise BadInputError(place, name=name, path=path, kind=kind) from None
        raise BadInputError("service.cannot_travel_at_all", name=name, reason=error) from None


def _dumps(value: object) -> bytes:
    import cloudpickle  # here: only who starts a service waits for it

    class Pickler(cloudpickle.Pickler):
        """Keeps the names of cells, which cloudpickle drops: a failure shows the student's line.

        Refuses open files, of which cloudpickle would quietly send what they hold. A class written
        in C that names a module which does not exist (librdkafka's clients do) goes by the module
        that has it: cloudpickle would send an empty one.
        """

        def reducer_override(self, part):
            if isinstance(part, io.TextIOWrapper) and part not in (sys.stdout, sys.stderr):
                raise pickle.PicklingError(repr(part))
            if isinstance(part, type) and (home := _home(part)) is not None:
                return getattr, (home, part.__name__)
            if not isinstance(part, types.CodeType):
                return super().reducer_override(part)
            make, parts, *more = self.dispatch_table[types.CodeType](part)
            named = (part.co_filename if one == "<dynamic-code>" else one for one in parts)
            return make, tuple(named), *more

    with io.BytesIO() as file:
        Pickler(file).dump(value)
        return file.getvalue()


def _home(part: type) -> types.ModuleType | None:
    """Return the module that has a class whose own word for it leads nowhere; else None."""
    if part.__module__ in sys.modules:
        return None
    for name, module in list(sys.modules.items()):
        if name != "__main__" and vars(module).get(part.__name__) is part:
            return module
    return None


def _arguments(function: Callable, args: tuple) -> Iterator[Part]:
    bound = inspect.signature(function).bind(object(), *args).arguments
    yield from list(bound.items())[1:]


def _culprit(parts: Iterator[Part], seen: set[int]) -> Part | None:
    """Return the innermost part that cannot be pickled."""
    for path, value in parts:
        if id(value) not in seen and not _travels(value):
            seen.add(id(value))
            return _culprit(_parts(value, path), seen) or (path, value)
    return None


def _travels(value: object) -> bool:
    try:
        _dumps(value)
    except Exception:
        return False
    return True


def _parts(value: object, path: str) -> Iterator[Part]:
    """Yield what ``value`` brings along, as far as it is the student's own work."""
    if isinstance(value, types.MethodType):
        yield from _parts(value.__func__, path)
        yield "self", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _used(value)
    elif isinstance(value, functools.partial):
        yield from _parts(value.func, path)
        yield from ((f"{path}[{n}]", arg) for n, arg in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, dict):
        yield from ((f"{path}[{key!r}]", inner) for key, inner in list(value.items()))
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{n}]", inner) for n, inner in enumerate(value))
    elif isinstance(value, type) or type(value).__module__ == "__main__":
        # what a library's object is made of would mean nothing to the student
        yield from ((f"{path}.{key}", inner) for key, inner in list(vars(value).items()))
        yield from _parts(type(value), path) if not isinstance(value, type) else ()


def _used(function: types.FunctionType) -> Iterator[Part]:
    """Yield the globals, closed-over variables and defaults that ``function`` uses."""
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not parameter.empty:
            yield name, parameter.default
    yield from vars(function).items()


def _names(code: types.CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
