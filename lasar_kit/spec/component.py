"""The options of a component, and fields that hold another component."""

from __future__ import annotations

import traceback
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializationInfo,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import (
    CoreSchema,
    ErrorDetails,
    InitErrorDetails,
    PydanticCustomError,
    ValidationError,
    core_schema,
)

from lasar_kit.errors import UserError, nearest

KIND_KEY = "x-component"
"""Key that marks, in the JSON schema of one config, a place where a component of some kind stands."""

_KNOWN = frozenset(get_args(core_schema.ErrorType))
"""Pydantic's own types of errors; all others are made by validators here or in a plugin."""


TOO_LARGE = 2**31
"""The least number that no option takes without a bound of its own: what it counts is held in 32 bits."""


def _leaves(annotation: Any) -> set[Any]:
    """The plain types of a union, annotations stripped."""
    if get_origin(annotation) is Annotated:
        return _leaves(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(_leaves(part) for part in get_args(annotation)))
    return {annotation}


def _expected(annotation: Any, value: object) -> str | None:
    """Say what a value should have been that pydantic would otherwise make a number or a truth value of."""
    leaves = _leaves(annotation) - {type(None)}
    if leaves == {bool} and isinstance(value, int | float | str) and not isinstance(value, bool):
        return "true or false"
    literals = [leaf for leaf in leaves if get_origin(leaf) is Literal]
    numbers = leaves & {int, float}
    # Python takes true for 1, and pydantic "1" for a number.
    wrong = isinstance(value, bool) or (isinstance(value, str) and not literals)
    if wrong and (numbers or literals) and leaves == numbers.union(literals):
        named = [choice for literal in literals for choice in get_args(literal)]
        if not any(choice is value for choice in named):
            number = ["an integer" if numbers == {int} else "a number"] if numbers else []
            return " or ".join([*map(repr, named), *number])
    [leaf] = leaves if len(leaves) == 1 else [None]
    if get_origin(leaf) is tuple and isinstance(value, list | tuple):
        parts = zip(cycle(part for part in get_args(leaf) if part is not Ellipsis), value, strict=False)
        return next((f"a list, each {text}" for part, one in parts if (text := _expected(part, one))), None)
    return None


def _too_large(field: FieldInfo, value: object) -> bool:
    """Whether an integer, or one of a list, is beyond what an option without an upper bound takes."""
    leaves = _leaves(field.annotation) - {type(None)}
    if float in leaves or any(hasattr(mark, "lt") or hasattr(mark, "le") for mark in field.metadata):
        return False
    values = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(one, int) and abs(one) >= TOO_LARGE for one in values)


def _with_nearest(detail: ErrorDetails, valid: Sequence[str], use: str | None) -> InitErrorDetails:
    """An error of a model's own as it was, but an unknown key with the nearest of the valid ones."""
    place, context = detail["loc"], detail.get("ctx", {})
    kind: Any = detail["type"]
    if kind == "extra_forbidden" and len(place) == 1:
        what = f"unknown option of {use}" if use else "unknown key"
        message = f"{what}; {nearest(str(place[0]), valid)}"
        kind = PydanticCustomError("unknown_key", "{message}", {"message": message})
    elif kind not in _KNOWN:
        kind = PydanticCustomError(detail["type"], "{message}", {"message": detail["msg"]})
    return InitErrorDetails(type=kind, loc=place, input=detail["input"], ctx=context)


class SpecModel(BaseModel):
    """Base of all spec models: frozen, no unknown keys, no number from a text or a truth value.

    A table without `use` holds options of the component that its field has by default.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        defer_build=True,  # most are bases, or stand beside what a spec names
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[str(info.field_name)]
        if expected := _expected(field.annotation, value):
            raise PydanticCustomError("not_this_type", "{message}", {"message": f"must be {expected}"})
        if _too_large(field, value):
            raise PydanticCustomError("too_large", "{message}", {"message": f"must be < {TOO_LARGE}"})
        default = default_component(field)
        if default and isinstance(value, Mapping) and "use" not in value:
            return {"use": default, **value}
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _name_nearest_key(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Tell the valid key nearest to an unknown one, which only this model knows."""
        try:
            return handler(value)
        except ValidationError as error:
            valid = [field.alias or name for name, field in cls.model_fields.items()]
            use = value.get("use") if isinstance(value, Mapping) else None
            raise ValidationError.from_exception_data(
                error.title, [_with_nearest(detail, valid, use) for detail in error.errors()]
            ) from None


class ComponentConfig(SpecModel):
    """Options of one component. Subclasses give every option a default, a description and its bounds.

    `unkeyed` names options that leave the result as it is: a change of them makes nothing anew.
    `checked_with` names options that may be absent from a spec, but not where the component is held to the
    laws of its kind: there is nothing to try them on without.
    """

    unkeyed: ClassVar[tuple[str, ...]] = ()
    checked_with: ClassVar[tuple[str, ...]] = ()

    use: str = Field(description="Name of the component.")

    @property
    def reads_checkpoint(self) -> bool:
        """Whether the stage that it stands in must read a checkpoint for it."""
        return False

    def without_effect(self) -> tuple[str, ...]:
        """Options that are set and yet do nothing beside the others: `check` and `run` warn of them."""
        return ()


class ConfigSource(Protocol):
    """A catalogue as fields need it; validation gets it as `context={"catalogue": …}`."""

    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        """The config class of a component; `UserError` for an unknown name or a broken plugin."""


def _unknown(kind: str, message: str, given: object) -> ValidationError:
    """An error at `use` whose message says all there is to say."""
    error = PydanticCustomError("unknown_component", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        kind, [InitErrorDetails(type=error, loc=("use",), input=given)]
    )


def validated(model: type[ComponentConfig], value: Mapping[str, Any], context: Any) -> ComponentConfig:
    """A table of options as a config; `ValidationError` too where a validator of a plugin raises another."""
    try:
        return model.model_validate(value, context=context)
    except (ValidationError, UserError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = (
            f"checking the options of {value['use']} raised {type(error).__name__}: {error} "
            f"(at {place.filename}:{place.lineno}); a validator raises ValueError for what it refuses"
        )
        raised = PydanticCustomError("raised", "{message}", {"message": message})
        raise ValidationError.from_exception_data(
            model.__name__, [InitErrorDetails(type=raised, input=value)]
        ) from error


@dataclass(frozen=True)
class ComponentOf:
    """Marks a field that holds a component of `kind`, validated by that component's own config class."""

    kind: str
    optional: bool = False

    def validate(self, value: Any, info: ValidationInfo) -> ComponentConfig | None:
        """Narrow `{use: name, ...options}` or a bare name to the config class of that name."""
        if isinstance(value, ComponentConfig) or (self.optional and value is None):
            return value
        if isinstance(value, str):
            value = {"use": value}
        article = f"a {self.kind} (a name, or a table with 'use')"
        if not isinstance(value, Mapping):
            raise PydanticCustomError("component", "{message}", {"message": f"must be {article}"})
        if "use" not in value:
            raise _unknown(self.kind, f"is missing: which {self.kind}?", value)
        name = value["use"]
        if not isinstance(name, str):
            raise _unknown(self.kind, f"must be the name of a {self.kind} (got {name!r})", name)
        source = (info.context or {}).get("catalogue")
        if source is None:
            raise ValueError(f"{self.kind} {name!r}: give its config object, or a catalogue as context")
        try:
            config_class: type[ComponentConfig] = source.config_class(self.kind, str(name))
        except UserError as error:
            raise _unknown(self.kind, "; ".join(error.lines), name) from None
        return validated(config_class, value, info.context)

    def _dump(self, value: Any, info: SerializationInfo) -> Any:
        if not isinstance(value, BaseModel):
            return value
        return value.model_dump(
            mode=info.mode, exclude_unset=info.exclude_unset, exclude_defaults=info.exclude_defaults
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        of = ComponentOf(self.kind, optional=type(None) in _leaves(source))
        return core_schema.with_info_plain_validator_function(
            of.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(of._dump, info_arg=True),
            metadata={"pydantic_js_functions": [of._json_schema]},
        )

    def _json_schema(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        place: dict[str, Any] = {KIND_KEY: self.kind}
        return {"anyOf": [place, {"type": "null"}]} if self.optional else place


def default_component(field: FieldInfo) -> str | None:
    """Name of the component that a field holds by default; None where it holds none."""
    if not any(isinstance(mark, ComponentOf) for mark in field.metadata):
        return None
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, Mapping):
        default = default.get("use")
    return (
        default.use if isinstance(default, ComponentConfig) else default if isinstance(default, str) else None
    )


def component(kind: str, default: str | dict[str, Any] | None = None) -> Any:
    """Annotation of a field that holds a component.

    `quantizer: Annotated[ComponentConfig, component("quantizer")] = Field("rq_kmeans", description=…)`;
    without `= Field(…)`, `default` makes the field optional. `ComponentConfig | None` admits null, and
    `tuple[Annotated[ComponentConfig, component(kind)], ...]` holds several.
    """
    field: Any = Field() if default is None else Field(default_factory=lambda: default)
    field.metadata.append(ComponentOf(kind))
    return field
