import environ

from tradehub.environment import fernet_keys
from tradehub.first_env import write_first_env


def test_the_file_holds_secrets_that_the_settings_accept(tmp_path, monkeypatch):
    assert write_first_env(tmp_path / ".env")

    monkeypatch.delenv("CREDENTIAL_KEYS", raising=False)
    environ.Env.read_env(tmp_path / ".env", overwrite=True)
    assert len(fernet_keys("CREDENTIAL_KEYS")) == 1


def test_only_its_owner_can_read_it(tmp_path):
    write_first_env(tmp_path / ".env")

    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / ".env"]


def test_an_existing_file_stays_as_it_is(tmp_path):
    (tmp_path / ".env").write_text("mine")

    assert not write_first_env(tmp_path / ".env")
    assert (tmp_path / ".env").read_text() == "mine"


def test_two_machines_never_share_secrets(tmp_path):
    write_first_env(tmp_path / "one")
    write_first_env(tmp_path / "two")

    assert (tmp_path / "one").read_text() != (tmp_path / "two").read_text()
