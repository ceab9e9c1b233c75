"""What the predictions of a lesson answer to typical wrong guesses, by what has happened in it."""

import ast

ASK = '''
def _ask(name, _, happened, because, near=0.0):
    """Return the typical wrong guesses that are not told what they would mean."""
    missed = []
    for place, meaning in because.items():
        parts = not isinstance(meaning, str)
        for guess, sentence in (meaning if parts else {place: meaning}).items():
            said = {place: guess} if parts else guess
            answer = check.foreseen(name, said, happened, because, near=near)
            told = [one.because for one in answer.parts if one.kind == "otherwise"]
            missed += [] if told == [sentence] else [f"{name}, {said}: {answer}"]
    return [name, missed]
'''


def asked(lesson, but: tuple[str, ...] = ()) -> list[str]:
    """Guess as those do who are wrong, and return the questions that were asked so.

    Each question of the lesson is answered again by what happened when its cell ran, so the names
    that its call to ``check.foreseen`` mentions have to be in the kernel still.

    Args:
        lesson: one that has run.
        but: questions whose answer is another one by now.

    Raises:
        AssertionError: a wrong guess is taken for right, or its sentence is not told.
    """
    lesson.execute(ASK)
    questions = []
    for cell in lesson.client.cells:
        if cell.cell_type != "code" or "check.foreseen(" not in cell.source:
            continue
        code, call = _call(cell.source)
        if call.args[0].value.split()[1] in but:
            continue
        lesson.execute(f"{code}\n_told = {ast.unparse(call)}")
        name, missed = lesson.value("_told")
        assert missed == [], cell.id
        questions.append(name.split()[1])
    return questions


def _call(source: str) -> tuple[str, ast.Call]:
    """Return the line that a cell's answer needs, and the answer as a call of ``_ask``."""
    nodes = list(ast.walk(ast.parse(source)))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    (call,) = [one for one in calls if ast.unparse(one.func) == "check.foreseen"]
    call.func, call.args[1] = ast.Name("_ask"), ast.Constant(...)
    lines = [ast.unparse(one) for one in nodes if isinstance(one, ast.Assign)]
    return "\n".join(line for line in lines if line.startswith("because = ")), call
