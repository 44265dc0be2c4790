"""Pages in the reader's language: the browser's, or the one chosen at the foot."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from sirdar.web import formats, words

RUSSIAN = {"accept-language": "ru-RU,ru;q=0.9,en;q=0.5"}
ENGLISH_LEFT = re.compile(r">\s*(Jobs|Applications|Resources|Sign out|Sign in|Account|Filter|Save|Name|State)\s*<")


@pytest.fixture
def in_russian() -> Any:
    token = words._language.set("ru")
    yield
    words._language.reset(token)


@pytest.mark.parametrize(
    "path", ["/jobs", "/apps", "/resources", "/account", "/account/tokens", "/account/notifications"]
)
def test_a_page_is_in_the_browsers_language(site: Any, path: str) -> None:
    with site.browser("anna") as browser:
        page = browser.get(path, headers=RUSSIAN).text
        assert '<html lang="ru">' in page
        assert "Задания" in page and "Приложения" in page and "Выйти" in page
        assert not ENGLISH_LEFT.search(page)
        assert '<html lang="en">' in browser.get(path, headers={"accept-language": "de"}).text


def test_pages_of_administration_are_in_it_too(site: Any) -> None:
    with site.browser("admin") as browser:
        for path in ("/admin/server", "/admin/users", "/admin/groups", "/admin/storage", "/admin/audit"):
            page = browser.get(path, headers=RUSSIAN).text
            assert "Администрирование" in page and not ENGLISH_LEFT.search(page), path


@pytest.mark.usefixtures("in_russian")
@pytest.mark.parametrize(
    ("count", "phrase"), [(1, "задача"), (2, "задачи"), (5, "задач"), (11, "задач"), (21, "задача")]
)
def test_a_number_takes_its_form_of_the_word(count: int, phrase: str) -> None:
    told = words.ngettext("%(num)s task of others is there.", "%(num)s tasks of others are there.", count)
    assert told == f"Там {count} {phrase} других пользователей."


@pytest.mark.usefixtures("in_russian")
def test_units_and_months_are_in_it_and_can_be_written_into_forms() -> None:
    assert formats.duration(5400) == "1\N{NARROW NO-BREAK SPACE}ч 30\N{NARROW NO-BREAK SPACE}мин"
    assert formats.size(2_100_000) == "2.1\N{NARROW NO-BREAK SPACE}МБ"
    assert formats.moment(0.0, 1e9) == "1 янв. 1970"


def test_what_a_page_writes_into_a_form_it_reads_again(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("anna") as browser:
        page = browser.get("/resources/lab1", headers=RUSSIAN).text
        shown = re.search(r'name="lost_after" value="([^"]+)"', page)
        assert shown is not None and "мин" in shown[1]
        for given, code in ((shown[1], 303), ("10 аршин", 422)):
            fields = {"csrf": secret_of(page), "lost_after": given}
            reply = browser.post("/resources/r1/settings", data=fields, headers=RUSSIAN)
            assert reply.status_code == code, reply.text
        assert "не подходит" in reply.text


def test_a_language_chosen_at_the_foot_is_kept(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("anna") as browser:
        page = browser.get("/apps?text=svf").text
        assert '<html lang="en">' in page
        wanted = re.search(r'name="next" value="([^"]+)"', page)
        assert wanted is not None
        fields = {"csrf": secret_of(page), "language": "ru", "next": wanted[1]}
        reply = browser.post("/language", data=fields)
        assert (reply.status_code, reply.headers["location"]) == (303, "/apps?text=svf")
        assert '<html lang="ru">' in browser.get("/jobs", headers={"accept-language": "en"}).text
        back = browser.post("/language", data={"csrf": secret_of(browser.get("/jobs").text), "language": "en"})
        assert back.status_code == 303
        assert '<html lang="en">' in browser.get("/jobs", headers=RUSSIAN).text


def test_an_unknown_language_is_refused(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("anna") as browser:
        secret = secret_of(browser.get("/jobs").text)
        reply = browser.post("/language", data={"csrf": secret, "language": "xx", "next": "/jobs"})
        assert reply.status_code == 422
        assert "set-cookie" not in reply.headers or words.COOKIE not in reply.headers["set-cookie"]
        assert '<html lang="en">' in browser.get("/jobs").text


def test_what_services_say_is_in_it(site: Any) -> None:
    with site.browser("anna") as browser:
        missing = browser.get("/resources/nowhere", headers=RUSSIAN)
        assert (
            missing.status_code == 404 and "Здесь этого нет" in missing.text and "Ресурса nowhere нет." in missing.text
        )
        assert "Программа завершилась сама, с ненулевым кодом." in browser.get("/docs/reasons", headers=RUSSIAN).text
        assert "Квота исчерпана" in browser.get("/docs/errors", headers=RUSSIAN).text
        gone = browser.get("/nowhere", headers=RUSSIAN).text
        assert "Страницы /nowhere нет." in gone


def test_pages_of_jobs_and_applications_are_in_it(site: Any) -> None:
    with site.browser("anna") as browser:

        def page(path: str) -> str:
            reply = browser.get(path, headers=RUSSIAN)
            assert reply.status_code == 200, path
            return str(reply.text)

        failed = page(f"/jobs/{site.jobs['failed']}")
        assert "Ошибка" in failed and "Причина в самой программе: посмотрите её вывод." in failed
        assert "Выполняется" in page(f"/jobs/{site.jobs['running']}") and "fold 3 of 7, CV error" in page("/jobs")
        many = page(f"/jobs/{site.jobs['many']}")
        assert "2 задачи с ошибкой" in many and "Код завершения 1." in many
        for tab in ("log", "tasks", "timeline", "machine", "children", "code"):
            assert not ENGLISH_LEFT.search(page(f"/jobs/{site.jobs['done']}?tab={tab}")), tab
        for path in ("", "/run", "/code", "/versions", "/jobs", "/sharing", "/edit"):
            assert not ENGLISH_LEFT.search(page(f"/apps/anna/svf{path}")), path


def test_a_refused_form_says_why_in_it(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("anna") as browser:
        page = browser.get("/apps/anna/svf/run", headers=RUSSIAN).text
        assert "целое число от 2 до 20" in page
        fields = {"csrf": secret_of(page), "in.folds": "25", "action": "check"}
        parts = {name: (None, text) for name, text in fields.items()}
        wrong = browser.post("/apps/anna/svf/run", files=parts, headers=RUSSIAN).text
        assert "25 больше 20" in wrong and "Нужно задать значение." in wrong
