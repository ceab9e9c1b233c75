"""The page of a lesson that was run: one that is there already is never lost."""

from concurrent.futures import ThreadPoolExecutor

from lab_env.course import runner


def test_runs_of_one_lesson_in_one_folder_keep_a_page_each(tmp_path):
    file = tmp_path / "made" / "03_publish_subscribe.html"
    with ThreadPoolExecutor(3) as pool:
        places = list(pool.map(lambda n: runner.keep_page(f"run {n}", file), range(3)))
    assert sorted(place.name for place in places) == [
        "03_publish_subscribe-2.html",
        "03_publish_subscribe-3.html",
        "03_publish_subscribe.html",
    ]
    assert [place.read_text(encoding="utf-8") for place in places] == ["run 0", "run 1", "run 2"]
