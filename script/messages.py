"""Takes texts out of the code into the message catalogue in locale/ko, compiles the catalogue, and checks both.

python script/messages.py            update django.po from the code and compile django.mo
python script/messages.py --check    nothing missing, superfluous, fuzzy or stale; placeholders agree

Babel does the work, so that no GNU gettext is needed. The code's texts are English: only Korean has a catalogue.
"""

import re
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog, Message, extract, mofile, pofile
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
APPS = ["audit", "exchanges", "orders", "staff", "strategies", "tradehub", "webhooks"]
PO = ROOT / "locale/ko/LC_MESSAGES/django.po"
MO = PO.with_suffix(".mo")
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
# The header has no dates, so that two branches with new texts do not collide in the header.
HEADER = b"""msgid ""
msgstr ""
"Project-Id-Version: tradehub\\n"
"Language: ko\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)  # the compiled header requires a date
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}")
Key = tuple[str, str | None]


def texts_in_code() -> Catalog:
    catalog = Catalog()
    for path in sorted(path for app in APPS for path in (ROOT / app).rglob("*") if is_source(path)):
        source = path.read_text()
        if path.suffix == ".html":
            source = templatize(source)
        for _line, text, _comments, context in extract.extract("python", BytesIO(source.encode()), KEYWORDS):
            catalog.add(text, locations=[(str(path.relative_to(ROOT)), 0)], context=context)
    return catalog


def is_source(path: Path) -> bool:
    return path.suffix in {".py", ".html"} and not {"tests", "migrations"} & set(path.parts)


def read_po() -> Catalog:
    if not PO.exists():
        return Catalog(locale="ko")
    with PO.open("rb") as file:
        return pofile.read_po(file, locale="ko")


def compile_catalog(catalog: Catalog) -> bytes:
    catalog.creation_date = NO_DATE
    target = BytesIO()
    mofile.write_mo(target, catalog)
    return target.getvalue()


def update_catalog() -> None:
    catalog = read_po()
    catalog.update(texts_in_code(), no_fuzzy_matching=True, update_creation_date=False)
    PO.parent.mkdir(parents=True, exist_ok=True)
    with PO.open("wb") as file:
        file.write(HEADER)
        pofile.write_po(
            file,
            catalog,
            width=110,
            omit_header=True,
            sort_output=True,
            ignore_obsolete=True,
            include_lineno=False,
        )
    MO.write_bytes(compile_catalog(read_po()))


def messages_by_key(catalog: Catalog) -> dict[Key, Message]:
    return {(message.id if isinstance(message.id, str) else message.id[0], message.context): message
            for message in catalog if message.id}  # fmt: skip


def catalog_problems() -> list[str]:
    wanted, catalog = messages_by_key(texts_in_code()), read_po()
    have = messages_by_key(catalog)
    found = [f"not in {PO.name}: {text!r}" for text, _ in wanted.keys() - have.keys()]
    found += [f"no longer in the code: {text!r}" for text, _ in have.keys() - wanted.keys()]
    for (text, _), message in have.items():
        translations = [message.string] if isinstance(message.string, str) else list(message.string or [""])
        if message.fuzzy:
            found.append(f"fuzzy: {text!r}")
        if not all(translations):
            found.append(f"not translated: {text!r}")
        elif any(set(PLACEHOLDER.findall(text)) != set(PLACEHOLDER.findall(line)) for line in translations):
            found.append(f"placeholders differ: {text!r}")
    if not MO.exists() or MO.read_bytes() != compile_catalog(catalog):
        found.append(f"{MO.name} is not what {PO.name} compiles to")
    return found


def main() -> None:
    if "--check" not in sys.argv[1:]:
        update_catalog()
    found = catalog_problems()
    for line in found:
        print(line)
    if found:
        sys.exit(
            f"Run ./script/messages, translate what is empty in {PO.relative_to(ROOT)}, and run it again."
        )


if __name__ == "__main__":
    main()
