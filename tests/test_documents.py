"""Documents name files, functions, sections and words that exist."""

import ast
import re
from pathlib import Path

import pytest

from orders.domain import reasons as order_reasons
from script import reasons, tour
from tests.failpoints import PLACES
from tradehub.environment import BASE_DIR

DOCUMENTS = sorted([*BASE_DIR.glob("*.md"), *BASE_DIR.glob("docs/**/*.md")])
FOLDERS = "audit|staff|exchanges|strategies|orders|webhooks|tradehub|tests|docs|script|locale|benchmarks|staticfiles"
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?<![\w./-])\.?/?((?:{FOLDERS})/[\w./*-]*)")
CITED = re.compile(r"([\w/]+\.py): (?:\w+\.)*(\w+)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
FAILPOINT = re.compile(r'failpoint\(\s*"([^"]+)"')
FAILPOINT_ROW = re.compile(r'^\| (K\d+) \| "([^"]+)"[^|]*\| `([^`]+)`', re.MULTILINE)
SECTION = re.compile(r"^## (\d+a?)\. ", re.MULTILINE)
ASVS_IDS = re.compile(r"^Ids: (.+)$", re.MULTILINE)
ASVS_RANGE = re.compile(r"(V\d+\.\d+) (\d+)(?:-(\d+))?")
ASVS_ROW = re.compile(r"^\| (V\d+\.\d+\.\d+) \| ([12]) \| [^|]+ \| (yes|no|n/a) \| ([^|]+) \|$", re.MULTILINE)
CITED_SECTIONS = re.compile(r"SPEC[\s#]+sections?[\s#]+(\d+a?)(?:[\s#]+(?:and|to)[\s#]+(\d+a?))?")

SOURCES = sorted(
    path
    for folder in FOLDERS.split("|")
    for path in (BASE_DIR / folder).rglob("*.py")
    if path != Path(__file__)
)

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def prose_of(document: Path) -> str:
    return FENCE.sub("", document.read_text())


def anchors_of(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = HEADING.findall(prose_of(document))
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain} | {h.replace(" ", "-") for h in plain}


@every_document
def test_every_link_leads_somewhere(document):
    broken = []
    for link in LINK.findall(prose_of(document)):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)

    assert broken == []


@every_document
def test_every_path_in_backticks_exists(document):
    spans = INLINE.findall(prose_of(document))
    paths = {path for span in spans for path in PATH.findall(span)}

    assert [path for path in sorted(paths) if not any(BASE_DIR.glob(path.rstrip("/.")))] == []


@every_document
def test_every_name_cited_with_a_file_is_defined_there(document):
    missing = []
    for path, name in CITED.findall(" ".join(INLINE.findall(prose_of(document)))):
        file = BASE_DIR / path
        if file.exists() and not re.search(rf"\b(def|class) {name}\b|^{name} = ", file.read_text(), re.M):
            missing.append(f"{path}: {name}")

    assert missing == []


def test_sections_that_code_cites_are_in_the_specification():
    sections = set(SECTION.findall((BASE_DIR / "docs/specification.md").read_text()))

    cited = {
        (str(path.relative_to(BASE_DIR)), number)
        for path in SOURCES
        for numbers in CITED_SECTIONS.findall(path.read_text())
        for number in numbers
        if number
    }

    assert cited
    assert [place for place in sorted(cited) if place[1] not in sections] == []


@pytest.mark.parametrize("document", ["asvs", "neighbours", "security"])
def test_every_test_that_a_document_names_exists(document):
    named = TEST.findall((BASE_DIR / f"docs/{document}.md").read_text())

    assert len(named) >= 30
    assert [
        f"{path}::{name}" for path, name in named if f"def {name}(" not in (BASE_DIR / path).read_text()
    ] == []


@pytest.fixture(scope="module")
def asvs():
    return (BASE_DIR / "docs/asvs.md").read_text()


def asvs_ids(document):
    for line in ASVS_IDS.findall(document):
        for section, first, last in ASVS_RANGE.findall(line):
            yield from (f"{section}.{number}" for number in range(int(first), int(last or first) + 1))


def test_every_requirement_of_the_standard_has_one_verdict(asvs):
    rows = ASVS_ROW.findall(asvs)
    begun = re.findall(r"^\| (V\d+\.\d+\.\d+) ", asvs, re.MULTILINE)
    levels = [level for _id, level, _verdict, _why in rows]

    assert [row[0] for row in rows] == begun == list(asvs_ids(asvs))
    assert len(set(begun)) == len(begun)
    assert (levels.count("1"), levels.count("2")) == (70, 183)


def test_every_gap_of_the_standard_is_in_the_list_of_what_is_missing(asvs):
    missing = asvs.partition("\n## What is missing\n")[2].partition("\n## ")[0]
    gaps = [name for name, _level, verdict, _why in ASVS_ROW.findall(asvs) if verdict == "no"]

    assert gaps
    assert sorted(re.findall(r"V\d+\.\d+\.\d+", missing)) == sorted(gaps)


def test_every_yes_of_the_standard_names_its_evidence(asvs):
    yes = [(name, why) for name, _level, verdict, why in ASVS_ROW.findall(asvs) if verdict == "yes"]

    assert [name for name, why in yes if not re.search("`|the same test|below|Fernet|here:", why)] == []


def test_every_failpoint_has_its_row_with_its_number():
    rows = FAILPOINT_ROW.findall((BASE_DIR / "docs/reliability.md").read_text())
    in_code = {
        place
        for path in SOURCES
        if "tests" not in path.parts
        for place in FAILPOINT.findall(path.read_text())
    }

    assert {number: place for number, place, _ in rows} == PLACES
    assert in_code == set(PLACES.values())
    assert [row for row in rows if row[1] not in (BASE_DIR / row[2]).read_text()] == []


def test_every_variable_of_the_environment_is_in_the_example():
    tree = ast.parse((BASE_DIR / "tradehub/settings.py").read_text())
    first = [node.args[0] for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    names = {str(argument.value) for argument in first if isinstance(argument, ast.Constant)}
    variables = {name for name in names if re.fullmatch(r"[A-Z][A-Z0-9_]+", name)}

    example = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (BASE_DIR / ".env.example").read_text(), re.M))

    assert variables == example


def test_korean_words_of_the_glossary_are_words_of_the_catalogue():
    rows = [line.split("|") for line in (BASE_DIR / "docs/glossary.md").read_text().splitlines()]
    words = {word.strip() for row in rows if len(row) == 6 for word in row[3].split(",")}
    catalogue = (BASE_DIR / "locale/ko/LC_MESSAGES/django.po").read_text().replace('"\n"', "")

    assert [word for word in words if re.search("[가-힣]", word) and word not in catalogue] == []


def test_a_reason_without_advice_is_named(monkeypatch):
    monkeypatch.setitem(order_reasons.TEXTS, "something_new", "Something new.")

    assert list(reasons.mismatches()) == ["something_new: no entry in RESULTS of script/reasons.py"]


def test_every_answer_of_the_tour_belongs_to_a_command():
    steps = tour.steps_in((BASE_DIR / "README.md").read_text())

    assert len([step for step in steps if step.answer is not None]) >= 6


@pytest.mark.parametrize(
    ("expected", "actual", "agree"),
    [
        ({"id": "…"}, {"id": 7}, True),
        ({"id": "th…"}, {"id": "th01"}, True),
        ({"id": "th…"}, {"id": "x01"}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "…": "…"}, {"b": 2, "a": 1}, True),
        ({"a": 1, "…": "…"}, {"b": 2}, False),
        ([{"a": "…"}], [{"a": 1}, {"a": 2}], False),
        ([{"a": "…"}, {"a": "…"}], [{"a": 1}], False),
        ({"total": 4}, {"total": 6}, False),
    ],
)
def test_an_answer_of_the_tour_agrees_but_for_placeholders(expected, actual, agree):
    assert (tour.difference(expected, actual) == "") is agree
