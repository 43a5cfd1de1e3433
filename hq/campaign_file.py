"""A campaign file, checked whole before anything is stored: all that is wrong is told at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from common.kernel.channel import CHANNELS, Level
from common.kernel.marketing_state import MarketingState
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue
from common.rules.rule_language import check_rule
from common.runtime.yaml_form import built, refusal
from common.runtime.yaml_source import Place, Problem, Source, UnreadableError, read
from hq.campaigns import SELECTABLE, Campaign
from hq.content import KIND_TYPES, ParameterKind, fallback_text, parameters_of


def check(text: str, catalogue: Catalogue) -> Campaign:
    """Raises Refusal CAMPAIGN_INVALID that lists everything wrong, a line each, with place and remedy."""
    source = _source(text)
    campaign, problems = _built(source)
    problems += _catalogue_problems(source, catalogue)
    if campaign is None or problems:
        raise _refusal(problems)
    return campaign


@lru_cache(maxsize=64)
def load(text: str) -> Campaign:
    """A file checked before, without asking the catalogue again. Raises like `check`."""
    campaign, problems = _built(_source(text))
    if campaign is None or problems:
        raise _refusal(problems)
    return campaign


def refused_at(text: str, place: Place, what: str) -> Refusal:
    """The refusal of a file for something found out later, such as an empty audience."""
    return _refusal([_source(text).problem(place, what)])


def _source(text: str) -> Source:
    try:
        return read(text)
    except UnreadableError as error:
        raise _refusal(error.problems) from error


def _refusal(problems: Sequence[Problem]) -> Refusal:
    return refusal("The campaign file is wrong and nothing was stored.", problems, "CAMPAIGN_INVALID")


def _built(source: Source) -> tuple[Campaign | None, list[Problem]]:
    campaign, problems = built(source, Campaign, "a campaign is a mapping of keys. Begin with `name: …`")
    if campaign is None:
        return None, problems
    return campaign, [source.problem(place, what) for place, what in _contradictions(campaign)]


def _contradictions(campaign: Campaign) -> Iterator[tuple[Place, str]]:
    yield from _wave_names(campaign)
    for number in range(1, len(campaign.waves) + 1):
        yield from _wave_times(campaign, number)
        yield from _wave_selection(campaign, number)
        yield from _wave_channels(campaign, number)
    for channel, texts in campaign.content.items():
        for language, text in (("zh", texts.zh), ("en", texts.en)):
            if text is not None:
                yield from _text(campaign, channel, language, text)


def _wave_names(campaign: Campaign) -> Iterator[tuple[Place, str]]:
    names = [wave.name for wave in campaign.waves]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("waves", index, "name"), f"two waves are called {name!r}. Rename one"


def _wave_times(campaign: Campaign, number: int) -> Iterator[tuple[Place, str]]:
    wave, begins, ends = campaign.waves[number - 1], campaign.select_at(number), campaign.end_at(number)
    place: Place = ("waves", number - 1, "after" if wave.at is None else "at")
    if not campaign.schedule.start <= begins < campaign.schedule.end:
        yield place, "the wave begins outside the schedule. Begin it within, or move schedule.end"
    if number > 1 and begins <= campaign.select_at(number - 1):
        yield place, "the wave does not begin after the one before. Begin it later, or swap the two"
    if wave.end is not None and not begins < ends <= campaign.schedule.end:
        yield ("waves", number - 1, "end"), "the wave must end after it begins and within the schedule. Correct it"


def _wave_selection(campaign: Campaign, number: int) -> Iterator[tuple[Place, str]]:
    place: Place = ("waves", number - 1, "select")
    selected = campaign.waves[number - 1].select
    if number == 1 and selected:
        yield place, "no wave comes before the first, so it takes the whole audience. Delete select"
    if number > 1 and not selected:
        names = ", ".join(state.name.lower() for state in SELECTABLE)
        yield place, f"a later wave names the states it takes. Add select with some of: {names}"
    overlap = number > 1 and campaign.end_at(number - 1) > campaign.select_at(number)
    if overlap and MarketingState.NOT_CONTACTED in selected:
        yield place, "the wave before still runs then and may contact the same people. Give it an end before this wave"


def _wave_channels(campaign: Campaign, number: int) -> Iterator[tuple[Place, str]]:
    taken: set[str] = set()
    closed = ""
    for index, choice in enumerate(campaign.waves[number - 1].channels):
        place: Place = ("waves", number - 1, "channels", index, "channel")
        if choice.channel in taken:
            yield place, f"{choice.channel} is there twice. Join the two with OR in one `when`"
        elif closed:
            yield (
                place,
                f"nobody is left: {closed} above takes everybody. Give {closed} a `when`, or move it down",
            )
        if choice.channel not in campaign.content:
            yield place, f"there is no text for {choice.channel}. Add content.{choice.channel}"
        taken.add(choice.channel)
        if choice.when is None and CHANNELS[choice.channel].level is Level.ONE:
            closed = closed or choice.channel


def _text(campaign: Campaign, channel: str, language: str, text: str) -> Iterator[tuple[Place, str]]:
    place: Place = ("content", channel, language)
    undeclared = [name for name in parameters_of(text) if name not in campaign.parameters]
    for name in undeclared:
        yield place, f"${{{name}}} is not declared. Add parameters.{name} with column, fallback and kind"
    if language == "en" and campaign.english is None:
        yield place, "nobody would read it. Say who reads English under `english`, or delete it"
    if not undeclared:
        chars = len(fallback_text(text, campaign.origins))
        chars_max = CHANNELS[channel].text_chars_max
        if chars > chars_max:
            yield place, f"the text has {chars} characters with its fallbacks, {channel} takes {chars_max}. Shorten it"


def _catalogue_problems(source: Source, catalogue: Catalogue) -> list[Problem]:
    """Rules and columns, found in whatever shape the rest of the file is."""
    found: list[Problem] = []
    for place, value in _leaves(source.value, ()):
        match place:
            case ("audience",) | ("waves", _, "channels", _, "when") if isinstance(value, str):
                found += _rule_problems(source, place, value, catalogue)
            case ("english", "column") | ("parameters", _, "column") if isinstance(value, str):
                found += _column_problems(source, place, value, catalogue)
    return found


def _leaves(value: object, place: Place) -> Iterator[tuple[Place, object]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield place, value
    for step, inner in steps:
        yield from _leaves(inner, (*place, step))


def _rule_problems(source: Source, place: Place, text: str, catalogue: Catalogue) -> list[Problem]:
    try:
        check_rule(text, catalogue)
    except Refusal as refusal:
        line, column = (int(refusal.metadata.get(name, 1)) for name in ("line", "column"))
        return [source.problem_inside(place, line, column, refusal.message)]
    return []


def _column_problems(source: Source, place: Place, name: str, catalogue: Catalogue) -> list[Problem]:
    tag = catalogue.find(name)
    if tag is None:
        near = catalogue.nearest(name) or sorted(known.name for known in catalogue)[:10]
        return [source.problem(place, f"there is no column {name!r}. Use one such as {', '.join(near) or 'province'}")]
    kinds = [kind for kind, types in KIND_TYPES.items() if tag.type in types]
    kind = source.value["parameters"][place[1]].get("kind") if place[0] == "parameters" else None
    if isinstance(kind, str) and kind in set(ParameterKind) and kind not in kinds:
        what = f"{tag.name} is {tag.type}, which kind {kind} cannot show. Use kind {' or '.join(kinds)}"
        return [source.problem((*place[:-1], "kind"), what)]
    return []
