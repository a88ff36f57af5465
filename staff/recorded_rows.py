"""Audit entries of rows: a person adds, changes or deletes a row on a page."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import models

from audit.actions import Action
from audit.actor import Actor
from audit.trail import changes, record

HIDDEN = "(not shown)"
_SECRET = ("password", "digest")
_SEALED = "sealed_"

_ROLES = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")
# Models of Django; our own models say themselves as which act a change counts: `changed_as` by column, `added_as`.
_CHANGED_AS: dict[type[models.Model], dict[str, Action]] = {
    User: {**dict.fromkeys(_ROLES, Action.ROLES_CHANGED), "password": Action.PASSWORD_CHANGED},
    Group: {"name": Action.ROLES_CHANGED, "permissions": Action.ROLES_CHANGED},
}

State = dict[str, Any]


class Secret(str):
    """A stored secret: compared with the value before, and never shown."""


def is_secret(name: str) -> bool:
    return name in _SECRET or name.startswith(_SEALED)


def locked_row(row: models.Model) -> models.Model | None:
    """The row as it is stored, locked until the transaction ends, as the change that follows would lock the row."""
    rows = type(row)._default_manager.filter(pk=row.pk)
    return rows.select_for_update(of=("self",), no_key=True).first()


def stored_state(model: type[models.Model], pk: Any) -> State:
    """The columns and the many-to-many relations of a row as they are stored; empty without a row."""
    row = model._default_manager.filter(pk=pk).first()
    return {} if row is None else state_of(row)


def note_loaded(row: models.Model) -> None:
    """Remembers the loaded columns, for `keep_others_changes`."""
    row.loaded = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}  # type: ignore[attr-defined]


def keep_others_changes(
    row: models.Model, stored: models.Model, changed: Collection[str] | None = None
) -> None:
    """Gives a row before its save the stored values of all columns without a change by the page.

    Django saves every column as it was loaded, so a save could undo a halt of a moment ago. `changed` names the columns
    with a change by the page; without `changed`, the columns with another value than the loaded value.
    """
    loaded = getattr(row, "loaded", {})
    for field in row._meta.concrete_fields:
        name = field.attname
        is_unchanged = (
            field.name not in changed if changed is not None else getattr(row, name) == loaded.get(name)
        )
        if is_unchanged:
            setattr(row, name, getattr(stored, name))


def state_of(row: models.Model) -> State:
    """Adds what the model says of itself by `audited_facts`, such as the fingerprint of a key."""
    state: State = {}
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        state[field.attname] = Secret(value) if is_secret(field.name) else value
    for relation in row._meta.many_to_many:
        related = getattr(row, relation.name).all()
        state[relation.name] = sorted(".".join(map(str, _key_of(item))) for item in related)
    facts = getattr(row, "audited_facts", None)
    return {**state, **(facts() if facts else {})}


def _key_of(row: models.Model) -> Any:
    key = getattr(row, "natural_key", None)
    return key() if key else (row.pk,)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the trail to come, written as the last step of the transaction."""

    action: Action
    target: models.Model
    before: State
    after: State

    def write(self, actor: Actor, now: datetime) -> None:
        record(self.action, self.target, actor=actor, now=now, before=self.before, after=self.after)


def addition_of(row: models.Model) -> Entry:
    added = stored_state(type(row), row.pk)
    return Entry(getattr(row, "added_as", Action.ROW_ADDED), row, {}, _shown(added))


def deletion_of(row: models.Model, before: State) -> Entry:
    return Entry(Action.ROW_DELETED, row, _shown(before), {})


def changes_of(row: models.Model, before: State) -> list[Entry]:
    """An entry for each kind of change between `before` and the stored row."""
    old, new = changes(before, stored_state(type(row), row.pk))
    kinds: Mapping[str, Action] = getattr(row, "changed_as", _CHANGED_AS.get(type(row), {}))
    grouped: dict[Action, list[str]] = defaultdict(list)
    for name in new:
        grouped[kinds.get(name, Action.ROW_CHANGED)].append(name)
    return [
        Entry(
            action,
            row,
            _shown({name: old[name] for name in names}),
            _shown({name: new[name] for name in names}),
        )
        for action, names in sorted(grouped.items())
    ]


def _shown(state: State) -> State:
    """The state without its secrets: whether there is one, and no more."""
    return {
        name: (HIDDEN if value else "") if isinstance(value, Secret) else value
        for name, value in state.items()
    }
