"""Addresses: asked in seconds, and shown without what they hold of an account."""

import pytest

from xmdpt.support.network import answers, shown


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://me:secret@wandb.example.org:8080/api", "https://wandb.example.org:8080/api"),
        ("http://key@127.0.0.1", "http://127.0.0.1"),
        ("https://huggingface.co", "https://huggingface.co"),
    ],
)
def test_an_address_is_shown_without_a_password(address, said):
    assert shown(address) == said


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://a:b@127.0.0.1:9", "nowhere:80"])
def test_where_nothing_answers_nothing_is_printed(address, capfd):
    assert not answers(address)
    assert capfd.readouterr() == ("", "")
