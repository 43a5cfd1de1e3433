"""What every node is told at start: one commented TOML file, overridden by environment variables, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from common.kernel.refusal import invalid, missing

ENV_PREFIX = "LIANDONG_"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Section):
    """PEM files; relative paths are read from the directory of the settings file."""

    authority: Path
    certificate: Path
    key: Path


class Vendor(Section):
    channel: str
    address: str
    name: str
    """The vendor's name in its certificate, spiffe://liandong/vendor/<name>; verified by the DNS SAN."""


SOURCE_SYSTEM_CHARS_MAX = 32


class OrderSource(Section):
    source_system: str = Field(min_length=1, max_length=SOURCE_SYSTEM_CHARS_MAX)
    address: str
    name: str


class NodeSettings(BaseSettings):
    """What HQ and provinces have in common."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )
    toml_path: ClassVar[Path]

    data_dir: Path
    database_url: str = ""
    """Empty: SQLite in data_dir."""
    listen: str
    federation_key_file: Path
    tls: Tls
    vendors: tuple[Vendor, ...] = ()
    clock_file: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del init_settings, dotenv_settings, file_secret_settings
        return env_settings, TomlConfigSettingsSource(settings_cls, cls.toml_path)

    def url(self, name: str) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / name}.db"

    def federation_key(self) -> bytes:
        try:
            return self.federation_key_file.read_bytes()
        except OSError as error:
            message = (
                f"{self.federation_key_file}: {error.strerror}; HQ's is made by `liandong hq init`, a province gets it "
                "back from `liandong province enroll`"
            )
            raise missing(message) from error


Settings = TypeVar("Settings", bound=NodeSettings)


def load(model: type[Settings], path: Path) -> Settings:
    """Read `path`. Unknown keys, missing keys and wrong types are refused, each by name.

    Relative paths inside are taken from the file's own directory.
    """
    if not path.is_file():
        raise invalid(f"{path}: no such settings file; make one with `liandong hq init` or `liandong province init`")
    bound = type(model.__name__, (model,), {"toml_path": path, "__annotations__": {}, "__module__": model.__module__})
    try:
        loaded: Settings = bound()
    except (ValidationError, ValueError) as error:
        remedy = f"Keys may also be set as {ENV_PREFIX}<KEY> in the environment."
        raise invalid(f"{path}: {explain(error)}. {remedy}") from error
    anchored: Settings = _anchored(loaded, path.parent.resolve())
    return anchored


def explain(error: ValueError) -> str:
    """Each key that is wrong, by name, in one line."""
    if not isinstance(error, ValidationError):
        return f"not readable as TOML: {error}"
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())


def _anchored(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else base / value
    if isinstance(value, BaseModel):
        return value.model_copy(
            update={name: _anchored(getattr(value, name), base) for name in type(value).model_fields}
        )
    if isinstance(value, tuple):
        return tuple(_anchored(each, base) for each in value)
    if isinstance(value, dict):
        return {name: _anchored(each, base) for name, each in value.items()}
    return value
