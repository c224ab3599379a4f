"""A run of many flows may open the files that it needs."""

import resource

import pytest

from dstream.run.descriptors import allow_descriptors


@pytest.fixture
def limit(monkeypatch):
    """Return the limits of a process that may open 1,024 files, and 4,096 if it asks for them."""
    limits = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.__setitem__(slice(None), pair))
    return limits


@pytest.mark.parametrize(("flows", "allowed"), [(1, 1024), (100, 1728), (1000, 4096)])
def test_the_limit_of_open_files_is_raised_as_far_as_it_is_needed_and_permitted(limit, flows, allowed):
    allow_descriptors(flows)
    assert limit == [allowed, 4096]


def test_a_limit_that_may_not_be_raised_stays(limit, monkeypatch):
    def refuse(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    allow_descriptors(1000)
    assert limit == [1024, 4096]


def test_no_limit_is_left_alone(limit):
    limit[:] = [resource.RLIM_INFINITY, resource.RLIM_INFINITY]
    allow_descriptors(1000)
    assert limit == [resource.RLIM_INFINITY, resource.RLIM_INFINITY]
