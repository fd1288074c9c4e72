"""Whether two answers are the same: exactly where that can be read off, else by asking for symbolic mathematics.

The rules are tried from the surest to the weakest and the first that applies decides. Structures (lists, tuples, sets,
intervals, matrices) are compared part by part. Knows no process and no model: `ask` is who compares mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from scdpo.grading.algebra import differ_for_negatives, equal_by_value, value_at
from scdpo.grading.bases import read_numeral
from scdpo.grading.cleaning import clean
from scdpo.grading.clock import read_clock
from scdpo.grading.numbers import read_number
from scdpo.grading.structures import Structure, as_interval, read_structure, split_top
from scdpo.grading.units import read_quantity, same_quantity, split_unit

LONGEST_ANSWER = 400
MOST_UNORDERED = 6


@dataclass(frozen=True, slots=True)
class Match:
    """Whether two answers are the same (None: undecided), the rule that decided, and why, where they are not."""

    same: bool | None
    rule: str
    reason: str = ""


Ask = Callable[[str, str], Match]
"""Compares two pieces of mathematics, prediction first."""

LETTER = re.compile(r"\(?\s*([A-J])\s*[).:]?")
LABELLED = re.compile(
    r"(?:(?:option|choice|answer|选项?)\s*)?(?:\(\s*([A-Ja-j])\s*\)|([A-J])\s*[).:])\s*(.*)", re.IGNORECASE | re.DOTALL
)
NAMED_CHOICE = re.compile(r"(?:option|choice|answer|选项?)\s*\(?\s*([A-J])\s*\)?", re.IGNORECASE)
RATIO = re.compile(r"\s*(?::|\bto\b|比)\s*")
ASSIGNMENT = re.compile(
    r"\s*((?:\\(?:vec|hat|bar|det|angle|triangle|overrightarrow)(?![a-zA-Z])\s*\{?\s*\w+\s*\}?|\\?[A-Za-z]+(?:_(?:\{\w+\}|\w+))?'?)(?:\s*\([a-z](?:,\s*[a-z])*\))?)\s*=\s*(.+)",
    re.DOTALL,
)
WORDY_LEFT = re.compile(r"(?:[A-Za-z][A-Za-z ]*[A-Za-z]|[\u3400-\u9fff]+)\s*[=:]\s*(?=\S)")
MEMBER = re.compile(r"\s*\\?[a-zA-Z](?:\([a-z]\))?\s*\\in(?![a-zA-Z])\s*")
KIND_OF_STRUCTURE = re.compile(
    r"(?:(?:the|ordered|points?|pairs?|triple|tuple|coordinates?|vertex|center|interval|set|solutions?|domain|range|vector|is|are|at|of)"
    r"\s+)+(?=[(\[]|\\\{)",
    re.IGNORECASE,
)
NAMED_STRUCTURE = re.compile(
    r"(?:\\vec\s*\{?\s*\w\s*\}?|\\?[A-Za-z]+(?:_\w)?)\s*[=:]\s*(?=[(\[]|\\\{|\\(?:langle|begin)\b)"
    r"|[A-Z]\s*(?=\([^()=]*,[^()=]*\)$)"
)
EQUALS = re.compile(r"(?<![<>!\\])=(?!=)")
WORDS = re.compile(r"[^\W\d_](?:[^\W_]|[ '’,.\-/&]|(?<=[A-Za-z]) ?\d{1,2}(?!\d))*")
SHORT_WORD = re.compile(r"[a-z]{1,3}")
SINGULAR = re.compile(r"(?<=[a-z]{3})s$")
PAIR_OR_GROUP = re.compile(r"\(\s*[-+]?\d{1,3},\d{3}\s*\)")
BRACKETED = re.compile(r"[(\[].*,.*[)\]]")
UNSOLVED = re.compile(r"-?\d*\s*\*?\s*(?:[a-z]|[a-z]\s*\^\s*\{?\d\}?|\\frac\{\d*[a-z]\}\{\d+\}|[a-z]/\d+)")
CONSTANT = re.compile(r"(?:[\d\s.+*/^(){}i|!-]|\\(?:frac|sqrt|pi|cdot|times|ln|log|sin|cos|tan|binom|circ)(?![a-zA-Z]))+")
STUCK_LETTER = re.compile(r"(.*[\d)}])([mgstlLhNJWV])(\s*\^\s*\{?[23]\}?)?")
YES_OR_NO = frozenset(["yes", "no", "true", "false"])
SHORT_FOR = {"dne": "does not exist", "no solution": r"\emptyset", "no solutions": r"\emptyset", "empty set": r"\emptyset"}
STATEMENT = re.compile(
    r"(?:(?:so|thus|hence|therefore|then),?\s+)?(?:the|there|this|that|it)\b[^.=<>]*\s(?:is|are|was|were|equals|be)\s+"
    r"(?=[-+\\$(\[{\d.]|[a-zA-Z](?![a-zA-Z]))",
    re.IGNORECASE,
)
CONDITION = re.compile(r"\s*(?:,\s*(?:for|where|with|if)?|\(|\b(?:for|where|with|if)\b)\s*[a-z]\s*\\ne(?![a-zA-Z])[^()]*\)?$")
BUILDER = re.compile(r"\\?\{\s*([a-z])(?:\s*\\in\s*\\mathbb\{R\})?\s*(?:\\mid(?![a-zA-Z])|[|:])(.+?)\\?\}")
CHOOSE = re.compile(r"C\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)")
STOP_WORDS = frozenset(["the", "a", "an", "on", "in", "at", "is", "it", "its", "of", "are", "to", "be"])
PROSE_WORD = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z]{4,}")
# `1/2 x` is half of x, and so is `1/2x` to most who write it; not to all.
PART_OF = re.compile(r"(?<![\w./^)}])(\d+)/(\d+)\s*(?=[a-zA-Z(]|\\(?:pi|sqrt)(?![a-zA-Z]))")
TIGHT = re.compile(r"(?<![\w./^)}])(\d+)/(\d+(?:[a-zA-Z](?:\^\d)?|\([^()]*\)|\\pi(?![a-zA-Z])|\\sqrt\{[^{}]*\}))")
DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*(?:\^\\circ|degrees?\b)")
TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in)(?![a-zA-Z])")


OPEN = {
    "number": "the gold answer is a rounding of this one",
    "unit": "the units may explain the difference",
    "percent": "a share or a percentage",
}


def compare(prediction: str, gold: str, ask: Ask) -> Match:
    """Whether the answer `prediction` is `gold`, both as they were extracted."""
    if max(len(prediction), len(gold)) > LONGEST_ANSWER:
        same = prediction.strip() == gold.strip()
        return Match(True, "same text") if same else Match(None, "too long", f"an answer of over {LONGEST_ANSWER} characters")
    return _compare(clean(prediction), clean(gold), ask)


def _compare(prediction: str, gold: str, ask: Ask) -> Match:
    prediction, gold = _bare(_exact_side(prediction), gold), _bare(_exact_side(gold), prediction)
    if not prediction or not gold:
        return Match(None, "empty", "an empty answer")
    if squeeze(prediction) == squeeze(gold):
        return Match(True, "same text")
    for rule in (_choices, _yes_or_no, _times, _exclamations, _quantities, _bases, _ratios, _structures, _assignments, _texts):
        match = rule(prediction, gold, ask)
        if match is not None:
            return match
    return _mathematics(prediction, gold, ask)


def _exact_side(text: str) -> str:
    """`2\\sqrt{3} \\approx 3.46` states the exact value too; `x \\approx 3.46` does not."""
    exact, _, rounded = text.partition(r"\approx")
    return exact.strip() if len(exact.strip()) > 1 or exact.strip().isdigit() else rounded.strip() or text


def _bare(text: str, other: str) -> str:
    """Without `The value of x is`, and without `, x \\ne 1` after it, where the other answer has none of these."""
    stated = STATEMENT.match(text)
    if stated and not STATEMENT.match(other):
        text = text[stated.end() :]
    condition = CONDITION.search(text)
    return text[: condition.start()] if condition and condition.start() and r"\ne" not in other else text


def squeeze(text: str) -> str:
    """A text without the white space and braces that change nothing."""
    text = re.sub(r"\s*([^\w\s])\s*", r"\1", text)
    text = re.sub(r"(?<=[^A-Za-z\d])\s+|\s+(?=[^A-Za-z\d])|(?<=\d)\s+(?=[A-Za-z])", "", text)
    text = re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)
    return text.removeprefix("+")


def _decided(same: bool | None, rule: str, open_reason: str) -> Match:
    return Match(same, rule, "" if same else open_reason if same is None else "another answer")


def _choices(prediction: str, gold: str, ask: Ask) -> Match | None:
    """Choice letters: `(C)`, `C.`, `Option C`, `(C) 12` against `C`; the content where the gold answer has no letter."""
    expected = LETTER.fullmatch(gold)
    if not expected:
        labelled = LABELLED.fullmatch(prediction)
        has_content = labelled and labelled.group(3).strip() and not LABELLED.fullmatch(gold)
        return _compare(labelled.group(3).strip(), gold, ask) if labelled and has_content else None
    named = NAMED_CHOICE.fullmatch(prediction) or LETTER.fullmatch(
        prediction.strip().upper() if len(prediction) <= 3 else prediction
    )
    labelled = LABELLED.fullmatch(prediction)
    if named:
        letter = named.group(1)
    elif labelled:
        letter = labelled.group(1) or labelled.group(2)
    else:
        return Match(None, "choice", "no choice letter in the answer")
    return _decided(letter.upper() == expected.group(1), "choice", "")


def _yes_or_no(prediction: str, gold: str, ask: Ask) -> Match | None:
    """`Yes, it is` for `yes`."""
    expected = gold.casefold()
    if expected not in YES_OR_NO:
        return None
    said = [word for word in re.findall(r"[a-z]+", prediction.casefold()) if word in YES_OR_NO]
    is_first = bool(said) and prediction.casefold().startswith(said[0])
    return _decided(said[0] == expected, "text", "") if is_first and len(said) == 1 else None


def _exclamations(prediction: str, gold: str, ask: Ask) -> Match | None:
    """`5!` for 5 is a factorial or a glad answer; 1 and 2 are their own factorials."""
    said = prediction.removesuffix("!")
    if said == prediction or said in ("1", "2") or not _compare(said, gold, ask).same:
        return None
    return Match(None, "number", "a factorial or an exclamation")


def _quantities(prediction: str, gold: str, ask: Ask) -> Match | None:
    """Numbers, with units, currencies, percent signs and words around them."""
    one_may_be_a_pair = bool(PAIR_OR_GROUP.fullmatch(prediction)) != bool(PAIR_OR_GROUP.fullmatch(gold))
    if one_may_be_a_pair and re.findall(r"\d", prediction) == re.findall(r"\d", gold):
        return Match(None, "tuple", "a pair or one number")
    first, second = read_quantity(_value_of(prediction, gold)), read_quantity(_value_of(gold, prediction))
    if first is None or second is None:
        stuck = [STUCK_LETTER.fullmatch(text) for text in (prediction, gold)]
        for with_letter, plain in ((stuck[0], second and gold), (stuck[1], first and prediction)):
            if with_letter and plain and _compare(with_letter.group(1), plain, ask).same:
                surely_a_unit = with_letter is stuck[0] and with_letter.group(2) == "m" and with_letter.group(3)
                return (
                    Match(True, "unit") if surely_a_unit else Match(None, "unit", "a letter that may be a unit or a variable")
                )
        comma = re.fullmatch(r"([-+]?\d+),(\d+)", prediction)
        if comma and second is not None and second.number.value.denominator != 1:
            number = read_number(f"{comma.group(1)}.{comma.group(2)}")
            return Match(True, "number") if number and number.value == second.number.value else None
        return None
    same, rule = same_quantity(first, second)
    return _decided(same, rule, OPEN[rule])


def _value_of(text: str, other: str) -> str:
    """The right side of `x = 5` and of `Total: 5`, where the other answer names nothing."""
    if EQUALS.search(other) or RELATION.search(text):
        return text
    if "=" in text:
        sides = split_top(text, EQUALS)
        named = ASSIGNMENT.fullmatch(text) or WORDY_LEFT.match(text) or read_number(sides[0])
        return sides[-1] if named and "," not in text.replace(sides[-1], "") else text
    words = WORDY_LEFT.match(text)
    return text[words.end() :] if words else text


def _bases(prediction: str, gold: str, ask: Ask) -> Match | None:
    """Numerals with a base (`1010_2`); a base that the prediction leaves out is taken to be the gold one's."""
    first, second = read_numeral(prediction), read_numeral(gold)
    if first is None or second is None or first.base is second.base is None:
        return None
    if first.digits == second.digits and first.base in (second.base, None):
        return Match(True, "base")
    same_value = first.value is not None and first.value == second.value
    if same_value or (first.digits == second.digits and second.base is None):
        return Match(None, "base", "the same digits or the same value in another base")
    return Match(False, "base", "another answer")


def _times(prediction: str, gold: str, ask: Ask) -> Match | None:
    """Times of the day; a missing a.m. or p.m. is not a mistake, the other one is."""
    first, second = read_clock(prediction), read_clock(gold)
    if first is None or second is None or not (first.is_surely_one or second.is_surely_one):
        return None
    turn = 1440 if first.half_is_known and second.half_is_known else 720
    return _decided((first.minutes - second.minutes) % turn == 0, "clock", "")


def _ratios(prediction: str, gold: str, ask: Ask) -> Match | None:
    """`3:4`, `3 to 4`, `3/4`: equal as quotients. Two that read as times (`1:10`, `3:30`) must be equal as they stand."""
    if not RATIO.search(prediction) and not RATIO.search(gold):
        return None
    first, second = _proportions(prediction), _proportions(gold)
    if first is None or second is None:
        return None
    same = first == second
    if same and (prediction.isdigit() or gold.isdigit()):
        return Match(None, "ratio", "a ratio against a whole number")
    if same and read_clock(prediction) != read_clock(gold):
        return Match(None, "ratio", "equal as ratios, different as times")
    return _decided(same, "ratio", "")


def _proportions(text: str) -> tuple[Fraction, ...] | None:
    """The terms of a ratio, as parts of the last one; a single number is its ratio to 1."""
    terms = [read_number(part) for part in RATIO.split(text)]
    values = [term.value for term in terms if term]
    if len(values) != len(terms) or not values[-1]:
        return None
    return tuple(value / values[-1] for value in values) if len(values) > 1 else (values[0], Fraction(1))


def _structures(prediction: str, gold: str, ask: Ask) -> Match | None:
    """Lists, tuples, sets, intervals, unions and matrices, part by part."""
    if CHOOSE.fullmatch(prediction) and read_quantity(gold):
        return _compare(CHOOSE.sub(r"\\binom{\1}{\2}", prediction), gold, ask)
    prediction, gold = _inside(prediction, gold), _inside(gold, prediction)
    first, second = read_structure(prediction), read_structure(gold)
    if first and not second and BRACKETED.fullmatch(gold):
        second = read_structure(_apart(gold))
    elif second and not first and BRACKETED.fullmatch(prediction):
        first = read_structure(_apart(prediction))
    if first is None or second is None:
        return _single_against_list(prediction, gold, first, second, ask)
    return compare_structures(first, second, ask)


def _apart(text: str) -> str:
    """With its commas as separators, not as those of thousands."""
    return text.replace(",", ", ")


def _inside(text: str, other: str) -> str:
    """What stands after `x \\in`, `the point` and, where the other answer names nothing, `v =` and `P` in `P(1, 2)`."""
    named = MEMBER.match(text) or KIND_OF_STRUCTURE.match(text) or ("=" not in other and NAMED_STRUCTURE.match(text))
    builder = BUILDER.fullmatch(text)
    if builder and as_interval(builder.group(2)):
        return builder.group(2).strip()
    return text[named.end() :] if named else text


def _single_against_list(
    prediction: str, gold: str, first: Structure | None, second: Structure | None, ask: Ask
) -> Match | None:
    """One number against several: another answer. A set of one is its element."""
    several, one = (first, gold) if first else (second, prediction)
    if several is None:
        return None
    if len(several.parts) == 1 and several.kind in ("set", "list"):
        return _compare(several.parts[0], gold, ask) if first else _compare(prediction, several.parts[0], ask)
    if read_quantity(one) or value_at(one, 0) is not None:
        prose = [part for part in several.parts if _words(part)]
        if prose and any(_compare(part, one, ask).same for part in several.parts if part not in prose):
            return Match(None, several.kind, "words beside the value")
        return Match(False, several.kind, f"a {several.kind} against a single value")
    return None


def compare_structures(first: Structure, second: Structure, ask: Ask) -> Match:
    """Part by part; in any order for lists and sets. A bare list is also the tuple or the set of the same parts."""
    if (first.kind == "set") != (second.kind == "set"):
        alone, other = (first, second) if first.kind == "set" else (second, first)
        inner = read_structure(alone.parts[0]) if len(alone.parts) == 1 and other.kind in ("tuple", "union", "matrix") else None
        if inner:
            return compare_structures(inner, other, ask) if alone is first else compare_structures(other, inner, ask)
    first, second = _roots(first, second), _roots(second, first)
    if {first.kind, second.kind} == {"list", "tuple"} and len(first.parts) == 2 and "[" in first.opening + second.opening:
        return Match(None, second.kind, "a list or an interval")
    if {first.kind, second.kind} == {"matrix", "tuple"} and _is_vector(first) and _is_vector(second):
        match = _all_parts(first.parts, second.parts, second.kind, ask) if len(first.parts) == len(second.parts) else None
        return (
            Match(None, second.kind, "a vector or a point")
            if match and match.same
            else Match(False, second.kind, "another answer")
        )
    if not _may_equal(first, second):
        return Match(False, first.kind, f"a {first.kind}, and the gold answer is a {second.kind}")
    if first.letter and second.letter and first.letter != second.letter:
        return Match(None, second.kind, "the same form in another letter")
    if first.rows != second.rows or len(first.parts) != len(second.parts):
        return Match(False, second.kind, "another number of parts")
    match = _all_parts(first.parts, second.parts, second.kind, ask)
    in_order = match.same or not {first.kind, second.kind} <= {"list", "set", "union"}
    return match if in_order else _in_any_order(first.parts, second.parts, second.kind, ask)


def _roots(named: Structure, other: Structure) -> Structure:
    """`x_1 = 2, x_2 = 3` beside a bare list or a set: the roots, whichever is called the first."""
    indexed = named.letter.endswith("_") and other.kind in ("list", "set")
    return Structure("list", named.parts) if indexed else named


def _in_any_order(first: Sequence[str], second: Sequence[str], rule: str, ask: Ask) -> Match:
    """Each part takes the first equal one that is left. Only the parts of a short list are worth symbolic mathematics."""
    left, ask = list(second), ask if len(first) <= MOST_UNORDERED else _refuse
    undecided = False
    for part in first:
        verdicts = set()
        for other in left:
            same = _compare(part, other, ask).same
            verdicts.add(same)
            if same:
                left.remove(other)
                break
        if verdicts <= {False}:
            return Match(False, rule, "another answer")
        undecided |= True not in verdicts
    return Match(None, rule, "parts that cannot be compared") if undecided else Match(True, rule)


def _refuse(prediction: str, gold: str) -> Match:
    return Match(None, "symbolic", "not asked")


def _may_equal(first: Structure, second: Structure) -> bool:
    if first.kind == second.kind:
        return first.opening == second.opening and first.closing == second.closing
    kinds = {first.kind, second.kind}
    return "list" in kinds and kinds <= {"list", "tuple", "set", "union"}


def _is_vector(structure: Structure) -> bool:
    return structure.opening in ("", "(") and structure.rows in (1, len(structure.parts))


def _all_parts(first: Sequence[str], second: Sequence[str], rule: str, ask: Ask) -> Match:
    undecided = None
    for part, expected in zip(first, second, strict=True):
        match = _compare(part, expected, ask)
        if match.same is False:
            return Match(False, rule, "another answer")
        if match.same is None:
            undecided = Match(None, rule, match.reason)
    return undecided or Match(True, rule)


def _assignments(prediction: str, gold: str, ask: Ask) -> Match | None:
    """`x = 5` is `5` where the other one names nothing; chains (`a = b = c`) stand for their end."""
    first, second = ASSIGNMENT.fullmatch(prediction), ASSIGNMENT.fullmatch(gold)
    if RELATION.search(prediction) or RELATION.search(gold) or "," in prediction + gold:
        return None
    if first and second and squeeze(first.group(1)) == squeeze(second.group(1)):
        return _compare(split_top(first.group(2), EQUALS)[-1], split_top(second.group(2), EQUALS)[-1], ask)
    if first and not EQUALS.search(gold):
        return _chain(split_top(first.group(2), EQUALS), gold, ask)
    if second and not EQUALS.search(prediction):
        return _compare(prediction, split_top(second.group(2), EQUALS)[-1], ask)
    computed = split_top(prediction, EQUALS)
    if len(computed) > 1 and not EQUALS.search(gold) and CONSTANT.fullmatch(computed[0]):
        return _chain(computed, gold, ask)
    if len(computed) > 1 and not EQUALS.search(gold) and UNSOLVED.fullmatch(computed[0]):
        return Match(None, "equation", "an equation that is not solved")
    return None


def _chain(parts: Sequence[str], gold: str, ask: Ask) -> Match:
    """The end of `a = b = c`; undecided where the end is wrong and a part before it is not (it may be a rounding)."""
    match = _compare(parts[-1], gold, ask)
    if match.same is False and any(_compare(part, gold, ask).same for part in parts[:-1]):
        return Match(None, match.rule, "the gold answer stands before the end of a chain")
    return match


def _texts(prediction: str, gold: str, ask: Ask) -> Match | None:
    """Words: without case, punctuation and small words. One that holds the other is left undecided."""
    prediction, gold = (SHORT_FOR.get(text.casefold(), text) for text in (prediction, gold))
    if prediction == gold:
        return Match(True, "text")
    first, second = _words(prediction), _words(gold)
    if first is None and second is None:
        return None
    if first is None or second is None:
        other = gold if second is None else prediction
        letters = SHORT_WORD.fullmatch(prediction if second is None else gold)
        if read_quantity(other) or (not letters and value_at(other, 0) is not None):
            return Match(None, "text", "words against a number")
        return None
    if first == second:
        return Match(True, "text")
    if SHORT_WORD.fullmatch(prediction) and SHORT_WORD.fullmatch(gold):
        return None  # products of letters, perhaps
    if "".join(first) in "".join(second) or "".join(second) in "".join(first):
        return Match(None, "text", "one answer holds the other")
    return Match(False, "text", "another answer")


def _words(text: str) -> tuple[str, ...] | None:
    """The words of a text that is nothing but words, or None."""
    if not WORDS.fullmatch(text) or (text.isascii() and len(max(re.findall(r"[A-Za-z]+", text), key=len)) < 2):
        return None
    words = re.findall(r"[^\W_]+", text.casefold())
    return tuple(SINGULAR.sub("", word) for word in words if word not in STOP_WORDS) or tuple(words)


def _mathematics(prediction: str, gold: str, ask: Ask) -> Match:
    """What is left: without units at the ends, by its value, else by whoever knows mathematics."""
    if TRIGONOMETRY.search(prediction + gold):
        prediction, gold = (DEGREES.sub(r"(\\frac{\1\\pi}{180})", text) for text in (prediction, gold))
    (first, unit), (second, gold_unit) = split_unit(prediction), split_unit(gold)
    if unit or gold_unit:
        return _compare(first, second, ask)
    tight = [TIGHT.sub(r"\\frac{\1}{\2}", text) for text in (prediction, gold)]
    prediction, gold = (PART_OF.sub(r"\\frac{\1}{\2} ", text) for text in (prediction, gold))
    equal = equal_by_value(prediction, gold)
    if not equal and tight != [prediction, gold] and equal_by_value(*tight):
        return Match(None, "value", "a slash that is read in two ways")
    if equal and differ_for_negatives(prediction, gold):
        return Match(None, "value", "equal for positive letters only")
    if equal is not None:
        return _decided(equal, "value", "")
    match = ask(prediction, gold)
    prose = match.same is False and any(PROSE_WORD.search(text) for text in (prediction, gold))
    return Match(None, match.rule, "words in the mathematics") if prose else match
