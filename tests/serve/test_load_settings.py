"""Settings: who goes before whom, all mistakes at once, secrets masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from upres.errors import UsageError
from upres.serve.load_settings import load_settings
from upres.serve.settings import Settings, is_loopback, print_config

TOKEN = "0123456789abcdef"


def test_flags_go_before_the_environment_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nqueue = 2\nworkers = 3\nhosts = ["a", "b"]\nallow_url = true\n')
    found = load_settings(
        {"port": "5", "queue": None}, {"UPRES_SERVE_PORT": "4", "UPRES_SERVE_QUEUE": "7", "UPRES_CACHE": "x"}, file
    )
    assert (found.port, found.queue, found.workers, found.hosts) == (5, 7, 3, ("a", "b"))
    assert found.allow_url and found.max_mb == Settings().max_mb
    assert load_settings({}, {"UPRES_SERVE_CONFIG": str(file)}).workers == 3


def test_defaults_need_nothing() -> None:
    assert load_settings({}, {}) == Settings()


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('prot = 1\nqueue = "many"\nlog = "xml"\n')
    with pytest.raises(UsageError) as error:
        load_settings(
            {"port": "70000", "workers": "0", "max_mb": "nan"},
            {"UPRES_SERVE_MEMORY": "lots", "UPRES_SERVE_HOTS": "x", "UPRES_SERVE_TOKEN_FILE": str(tmp_path / "none")},
            file,
        )
    text = str(error.value)
    for words in (
        "`port` must be a whole number between 0 and 65,535, got 70000",
        "`workers` must be a whole number between 1 and 256",
        "`max_mb` must be between",
        "unknown key 'prot', did you mean 'port'?",
        f"{file}: queue must be a whole number, got 'many'",
        f"{file}: log must be text or json",
        "UPRES_SERVE_MEMORY it must be a size such as 2G",
        "UPRES_SERVE_HOTS is unknown, did you mean 'hosts'?",
        "none cannot be read",
    ):
        assert words in text


def test_another_address_wants_a_token() -> None:
    with pytest.raises(UsageError, match="needs a token"):
        load_settings({"host": "0.0.0.0"}, {})
    assert load_settings({"host": "0.0.0.0"}, {"UPRES_SERVE_TOKEN": f"anna:{TOKEN}"}).owners == {TOKEN: "anna"}
    for tokens in (["short"], [TOKEN, TOKEN], [f"a:{TOKEN}", f"a:{TOKEN}x"], [TOKEN + "\u00e9"]):
        with pytest.raises(UsageError, match="tokens"):
            load_settings({"tokens": tokens}, {})


def test_tokens_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"anna:{TOKEN}\n\n{TOKEN}b\n")
    found = load_settings({}, {"UPRES_SERVE_TOKEN_FILE": str(tmp_path / "tokens")})
    assert found.owners == {TOKEN: "anna", f"{TOKEN}b": "token-2"}


def test_secrets_are_masked_and_the_rest_can_be_read_again(tmp_path: Path) -> None:
    settings = Settings(tokens=(f"anna:{TOKEN}", TOKEN + "b"), hosts=("x",), memory="2G")
    text = print_config(settings)
    assert TOKEN not in text and '"anna:***", "***"' in text
    (tmp_path / "again.toml").write_text(text.replace('tokens = ["anna:***", "***"]', ""))
    again = load_settings({}, {}, tmp_path / "again.toml")
    assert again == Settings(hosts=("x",), memory="2G")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("= 1")
    for path, words in ((tmp_path / "x.toml", "not TOML"), (tmp_path / "no.toml", "cannot be read")):
        with pytest.raises(UsageError, match=words):
            load_settings({}, {}, path)


def test_an_engine_that_is_unknown() -> None:
    with pytest.raises(UsageError, match="engine"):
        load_settings({"engine": "magic"}, {})


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "pc", "127.0.0.1.example.org")))
