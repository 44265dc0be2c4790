"""Pages of resources: what a machine is, what its owner does with it, and what others may not."""

from collections.abc import Callable
from typing import Any

from sirdar.store.resources import keep_capabilities
from sirdar.wire.agent import Capabilities


def post(browser: Any, secret_of: Callable[[str], str], page: str, path: str, **fields: str) -> Any:
    secret = secret_of(browser.get(page).text)
    return browser.post(path, data={"csrf": secret, **fields}, follow_redirects=True)


def test_an_owner_drains_shares_and_renames(empty_site: Any, secret_of: Callable[[str], str]) -> None:
    with empty_site.browser("admin") as admin:
        made = post(admin, secret_of, "/resources", "/resources", name="lab7")
        assert "sirdar agent join" in made.text and made.headers["cache-control"] == "no-store"
        (path,) = {"/resources/" + made.text.split('action="/resources/')[1].split("/")[0]}
        assert "no machine has joined yet" in admin.get(path).text
        drained = post(admin, secret_of, path, f"{path}/mode", mode="drain")
        assert "It takes no new tasks" in drained.text and "Take tasks again" in drained.text
        assert "It takes tasks again" in post(admin, secret_of, path, f"{path}/mode", mode="active").text
        changed = post(admin, secret_of, path, f"{path}/settings", name="lab8", lost_after="2 h")
        assert "<h1>lab8</h1>" in changed.text and "2\u202fh" in changed.text
        again = post(admin, secret_of, path, f"{path}/settings", name="lab8", lost_after="2\u202fh")
        assert "It was changed" in again.text
        wrong = post(admin, secret_of, path, f"{path}/settings", lost_after="soon")
        assert wrong.status_code == 422 and "It cannot be" in wrong.text
        assert "everyone" in post(admin, secret_of, path, f"{path}/share", kind="everyone").text
        nobody = post(admin, secret_of, path, f"{path}/share", kind="user", name="nobody")
        assert nobody.status_code == 404 and "There is no user nobody" in nobody.text
        assert "Nobody but its owner" in post(admin, secret_of, path, f"{path}/unshare", subject="everyone").text


def test_tokens_of_machines_that_are_thrown_away(empty_site: Any, secret_of: Callable[[str], str]) -> None:
    with empty_site.browser("admin") as admin:
        made = post(admin, secret_of, "/resources", "/resources", name="cloud")
        path = "/resources/" + made.text.split('action="/resources/')[1].split("/")[0]
        shown = post(admin, secret_of, path, f"{path}/tokens", label="spot instances", days="7")
        assert "SIRDAR_TOKEN=" in shown.text and shown.headers["cache-control"] == "no-store"
        later = admin.get(path).text
        assert "SIRDAR_TOKEN=" not in later and "spot instances" in later
        end = later.split(f'action="{path}/tokens/')[1].split('"')[0]
        assert "spot instances" not in post(admin, secret_of, path, f"{path}/tokens/{end}").text
        assert "whole number of days" in post(admin, secret_of, path, f"{path}/tokens", label="x", days="soon").text


def test_what_cannot_be_undone_asks_first(empty_site: Any, secret_of: Callable[[str], str]) -> None:
    with empty_site.browser("admin") as admin:
        made = post(admin, secret_of, "/resources", "/resources", name="lab7")
        path = "/resources/" + made.text.split('action="/resources/')[1].split("/")[0]
        asked = admin.get(f"{path}/revoke").text
        assert "Revoke the access of lab7?" in asked and "No task is there now." in asked
        assert "Revoked" in post(admin, secret_of, f"{path}/revoke", f"{path}/revoke").text
        assert "Delete lab7?" in admin.get(f"{path}/delete").text
        assert "lab7" not in post(admin, secret_of, f"{path}/delete", f"{path}/delete").text
        assert admin.get(f"{path}/anything").status_code == 404


def test_others_see_and_change_nothing(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("boris") as boris:
        secret = secret_of(boris.get("/account").text)
        assert boris.get("/resources/r1").status_code == 404
        for verb in ("mode", "settings", "share", "unshare", "join", "tokens", "revoke", "delete"):
            answer = boris.post(f"/resources/r1/{verb}", data={"csrf": secret, "subject": "user:boris"})
            assert answer.status_code in {403, 404}, verb


def test_the_list_and_its_live_part_are_the_same(site: Any) -> None:
    with site.browser("anna") as anna:
        page, part = anna.get("/resources").text, anna.get("/resources?part=rows").text
        assert "<html" not in part and part.strip() in page
        assert "<html" not in anna.get("/resources/r1?part=now").text


def test_solvers_stand_apart_from_the_owners_labels(empty_site: Any, secret_of: Callable[[str], str]) -> None:
    with empty_site.browser("admin") as admin:
        made = post(admin, secret_of, "/resources", "/resources", name="lab7")
        path = "/resources/" + made.text.split('action="/resources/')[1].split("/")[0]
        labels = {"site": "lab", "solver-highs": "1.15.1", "solver-ipopt": "3.14.19"}
        says = Capabilities(cpus=2, memory_bytes=1 << 30, slots=2, labels=labels).model_dump()
        empty_site.write(lambda tx: keep_capabilities(tx, path.rsplit("/", 1)[1], says))
        page = admin.get(path).text
        assert "<th>Solvers</th>" in page and "highs 1.15.1" in page and "ipopt 3.14.19" in page
        assert "site=lab" in page and "solver-" not in page
        listed = admin.get("/resources").text
        assert "site=lab" in listed and "solver-" not in listed
