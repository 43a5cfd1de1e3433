"""What every node is told at start: one commented TOML file, overridden by environment variables, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from common.kernel.refusal import invalid

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


class OrderSource(Section):
    source_system: str
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
        return self.federation_key_file.read_bytes()


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
        raise invalid(f"{path}: {_explain(error)}") from error
    anchored: Settings = _anchored(loaded, path.parent.resolve())
    return anchored


def _explain(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"not readable as TOML: {error}"
    lines = (f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())
    return "; ".join(lines) + f". Keys may also be set as {ENV_PREFIX}<KEY> in the environment."


def _anchored(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else base / value
    if isinstance(value, BaseModel):
        return value.model_copy(
            update={name: _anchored(getattr(value, name), base) for name in type(value).model_fields}
        )
    if isinstance(value, tuple):
        return tuple(_anchored(each, base) for each in value)
    return value
