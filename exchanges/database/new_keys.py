"""Primary keys that are taken before their rows are written, so that rows that name each other go in one trip."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Func, Model, QuerySet, TextField

from exchanges.database.prepared import Query, Slot

Keys = Mapping[type[Model], Iterator[int]]


class _NewKeys(Func):
    """So many new primary keys of the model as the slot of the model's name says, as JSON; null on SQLite."""

    def __init__(self, model: type[Model]) -> None:
        super().__init__(output_field=TextField())
        self.model = model

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        if connection.vendor != "postgresql":
            return "NULL", ()
        sequence = f"pg_get_serial_sequence('{self.model._meta.db_table}', 'id')"
        keys = f"ARRAY(SELECT nextval({sequence}) FROM generate_series(1, %s))"  # noqa: S608 - our own table's name
        return f"array_to_json({keys})::text", (Slot(slot_of(self.model)),)


def slot_of(model: type[Model]) -> str:
    return f"new_{model._meta.model_name}"


def new_keys(models: Iterable[type[Model]], row: Callable[[], QuerySet[Any]]) -> Query[Any]:
    """A query of new primary keys of each model. `row` makes a queryset of one row; `keys_of` reads what comes.

    The slots of the models (`slot_of`) have the numbers of keys.
    """
    columns = {slot_of(model): _NewKeys(model) for model in models}
    return Query(lambda: row().annotate(**columns).values_list(*columns))


def keys_of(models: Iterable[type[Model]], rows: Sequence[tuple[str | None, ...]]) -> Keys:
    """The keys by model, each to be taken once; none where the database gives a row its key when it is written."""
    (texts,) = rows
    found = zip(models, texts, strict=True)
    return {model: iter(json.loads(text)) for model, text in found if text is not None}
