"""One comment per pull request and project, one issue per project; against a strict stand-in of the forges."""

import json
import time
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from dstream.cli.main import root
from dstream.delivery import http
from dstream.delivery.errors import DeliveryError
from dstream.delivery.forge import forge as forge_of
from dstream.delivery.sticky import report, stick
from tests.delivery import stand_in


@dataclass
class Served:
    world: stand_in.World
    environment: dict

    def forge(self):
        return forge_of(self.environment)


@pytest.fixture(params=["github", "gitlab"])
def served(request):
    with stand_in.forge(gitlab=request.param == "gitlab") as (world, environment):
        yield Served(world, environment)


@pytest.fixture
def github():
    with stand_in.forge(gitlab=False) as (world, environment):
        yield Served(world, environment)


@pytest.fixture
def waits(monkeypatch):
    found = []
    monkeypatch.setattr(http.Http.__init__, "__defaults__", (found.append,))
    return found


def test_a_comment_is_created_then_left_alone_then_updated(served):
    forge, world = served.forge(), served.world
    assert stick(forge, 7, "a", "plan 1") == "created"
    writes = len(world.writes())
    assert stick(forge, 7, "a", "plan 1") == "unchanged"
    assert len(world.writes()) == writes  # the second time there is nothing to say
    assert stick(forge, 7, "b", "plan of b") == "created"
    assert stick(forge, 7, "a", "plan 2") == "updated"
    assert [each["body"].split("\n")[1] for each in world.comments] == ["plan 2", "plan of b"]


def test_an_issue_is_opened_updated_and_closed_and_otherwise_nothing_is_said(served):
    forge, world = served.forge(), served.world
    for number in (1, 2):
        assert report(forge, "a", "Drift of a", None) == "unchanged"
        assert report(forge, "a", "Drift of a", "one") == "created"
        assert report(forge, "a", "Drift of a", "one") == "unchanged"
        assert report(forge, "a", "Drift of a", "two") == "updated"
        (found,) = world.open_issues()
        assert (found["title"], found["body"].split("\n")[1]) == ("Drift of a", "two")
        assert report(forge, "a", "Drift of a", None) == "closed"
        assert world.open_issues() == []
        assert len(world.issues) == number
    assert len(world.writes()) == 6


def test_what_others_wrote_with_our_marker_is_not_taken_for_ours(served):
    forge, world = served.forge(), served.world
    stick(forge, 7, "a", "plan")
    copied = world.comments.pop()["body"]
    world.post(world.comments, "mallory", copied)
    world.post(world.comments, world.own, f"Look at:\n{copied}")
    assert stick(forge, 7, "a", "plan") == "created"
    assert [each["body"] for each in world.comments[:2]] == [copied, f"Look at:\n{copied}"]


def test_the_comment_is_found_on_a_later_page(served):
    forge, world = served.forge(), served.world
    for number in range(230):
        world.post(world.comments, "someone", f"remark {number}")
    assert stick(forge, 7, "a", "plan") == "created"
    assert stick(forge, 7, "a", "other") == "updated"
    assert len(world.comments) == 231


def test_a_pull_request_is_not_an_issue(github):
    forge, world = github.forge(), github.world
    report(forge, "a", "Drift", "one")
    world.issues[0]["pull_request"] = {}
    assert report(forge, "a", "Drift", None) == "unchanged"


def test_a_page_on_another_host_gets_no_token(served):
    for number in range(101):
        served.world.post(served.world.comments, "someone", f"remark {number}")
    served.world.foreign_pages = True
    with pytest.raises(DeliveryError, match="another host"):
        stick(served.forge(), 7, "a", "plan")


LIMITS = [
    ((403, {"Retry-After": "5"}, {"message": "You have exceeded a secondary rate limit."}), 5),
    ((429, {"Retry-After": "3"}, {"message": "Too Many Requests"}), 3),
    ((403, {}, {"message": "You have exceeded a secondary rate limit and have been blocked."}), 60),
    ((429, {}, {"message": "slow down"}), 60),
]


@pytest.mark.parametrize(("refusal", "least"), LIMITS)
def test_a_rate_limit_is_waited_for_as_long_as_the_forge_says(github, waits, refusal, least):
    github.world.refusals.append(("POST", *refusal))
    assert stick(github.forge(), 7, "a", "plan") == "created"
    assert waits == [least]
    assert len(github.world.comments) == 1


def test_a_primary_limit_is_waited_for_until_its_reset_or_refused_when_that_is_far(github, waits):
    soon = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 50)}
    github.world.refusals.append(("GET", 403, soon, {"message": "API rate limit exceeded"}))
    stick(github.forge(), 7, "a", "plan")
    assert 40 < waits[0] <= 52
    far = {**soon, "x-ratelimit-reset": str(int(time.time()) + 3000)}
    github.world.refusals.append(("GET", 403, far, {"message": "API rate limit exceeded"}))
    with pytest.raises(DeliveryError, match="rate limit; again in"):
        stick(github.forge(), 7, "a", "plan")


REFUSALS = [
    (404, {}, {"message": "Not Found"}, "Not Found"),
    (403, {}, {"message": "Resource not accessible by integration"}, "not accessible"),
    (422, {}, {"message": "Validation Failed"}, "Validation Failed"),
    (307, {"Location": "http://forge.invalid/"}, {"message": "Moved"}, "redirect"),
    (502, {}, {"message": "Bad Gateway"}, "Bad Gateway"),  # a comment may be there: it is not written again
]


@pytest.mark.parametrize(("status", "headers", "body", "said"), REFUSALS)
def test_a_refused_change_is_an_error_with_the_forge_s_reason(github, waits, status, headers, body, said):
    github.world.refusals.append(("POST", status, headers, body))
    with pytest.raises(DeliveryError, match=said) as caught:
        stick(github.forge(), 7, "a", "plan")
    assert stand_in.TOKEN not in str(caught.value)
    assert waits == []
    assert len(github.world.writes()) == 1


def test_reading_is_repeated_when_the_forge_is_down_for_a_moment(github, waits):
    forge = github.forge()
    github.world.refusals += [("GET", 503, {}, {}), ("GET", 502, {}, {})]
    assert stick(forge, 7, "a", "plan") == "created"
    assert waits == [1.0, 2.0]


def test_a_text_that_does_not_fit_is_refused_rather_than_cut(github):
    with pytest.raises(DeliveryError, match="65536"):
        stick(github.forge(), 7, "a", "x" * 65_536)
    with pytest.raises(DeliveryError, match="empty"):
        stick(github.forge(), 7, "a", " \n")
    assert github.world.writes() == []


def test_a_token_is_sent_over_https_only():
    with pytest.raises(DeliveryError, match="https"):
        forge_of({"GITHUB_API_URL": "http://forge.example", "GITHUB_TOKEN": "x", "GITHUB_REPOSITORY": "a/b"})


def test_an_author_that_was_not_expected_is_an_error_that_names_the_setting(github):
    github.world.own = "acme-deploy[bot]"  # the token of another GitHub App
    for write in (lambda forge: stick(forge, 7, "a", "plan"), lambda forge: report(forge, "a", "Drift", "one")):
        with pytest.raises(DeliveryError, match=r"DSTREAM_CI_AUTHOR=acme-deploy\[bot\]"):
            write(github.forge())
    github.environment["DSTREAM_CI_AUTHOR"] = "acme-deploy[bot]"
    assert stick(github.forge(), 7, "a", "plan") == "unchanged"


@pytest.fixture
def dstream(served, monkeypatch, tmp_path):
    for name in ("GITHUB_EVENT_PATH", "CI_MERGE_REQUEST_IID", "GITLAB_CI", "GITEA_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    if not served.world.gitlab:
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    (tmp_path / "text.md").write_text("### the text\n")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(root, ["ci", *words])


def test_the_commands_take_request_and_token_from_the_pipeline(served, dstream):
    assert dstream("comment", "text.md").output == "Comment created.\n"
    assert dstream("comment", "text.md").output == "Comment unchanged.\n"
    assert dstream("comment", "text.md", "-project", "b").output == "Comment created.\n"
    assert len(served.world.comments) == 2
    assert dstream("issue", "text.md", "-project", "b").output == "Issue created.\n"
    assert served.world.issues[0]["title"] == "Drift of b"
    assert dstream("issue", "-close", "-project", "b").output == "Issue closed.\n"
    assert dstream("issue", "-close", "-project", "b").output == "Issue unchanged.\n"


def test_a_command_outside_of_a_pipeline_says_what_is_missing(served, dstream, monkeypatch):
    assert dstream("issue").exit_code == 2
    assert dstream("comment", "missing.md").exit_code == 1
    for name in ("GITHUB_EVENT_PATH", "CI_MERGE_REQUEST_IID"):
        monkeypatch.delenv(name, raising=False)
    assert "-request N" in dstream("comment", "text.md").output
    for name in ("GITHUB_TOKEN", "GITLAB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert "TOKEN is not set" in dstream("comment", "text.md", "-request", "7").output
