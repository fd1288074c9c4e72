"""Quantities: a number with what stands around it: a unit, a currency, a percent sign, trailing words.

Units that are known are compared by what they measure; other words around a number are only words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from scdpo.grading.numbers import PARTS, Number, read_number, read_words, same_number


@dataclass(frozen=True, slots=True)
class Unit:
    """What is measured, and how many of the dimension's base units one of it is."""

    dimension: str
    size: Fraction


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as answered. unit: None where there is none, or none that is known; words: whether words stand around it;
    prose: these words, where the number stands among them; scale: what it was multiplied by (million, 万).
    """

    number: Number
    unit: Unit | None = None
    percent: bool = False
    words: bool = False
    prose: tuple[str, ...] = ()
    scale: int = 1


ANY = "any length"


def _table() -> dict[str, Unit]:
    rows = {
        "length": {
            "1/1000": "mm millimeter millimeters millimetre millimetres 毫米",
            "1/100": "cm centimeter centimeters centimetre centimetres 厘米",
            "1/10": "dm decimeter decimeters 分米",
            "1": "m meter meters metre metres 米",
            "1000": "km kilometer kilometers kilometre kilometres 千米 公里",
            "127/5000": "in inch inches",
            "381/1250": "ft foot feet",
            "1143/1250": "yd yard yards",
            "201168/125": "mi mile miles",
        },
        "mass": {
            "1/1000": "mg milligram milligrams 毫克",
            "1": "g gm gram grams 克",
            "1000": "kg kilogram kilograms 千克 公斤",
            "1000000": "t ton tons tonne tonnes 吨",
            "45359237/100000": "lb lbs pound pounds",
            "45359237/1600000": "oz ounce ounces",
        },
        "time": {
            "1": "s sec secs second seconds 秒 秒钟",
            "60": "min mins minute minutes 分钟",
            "3600": "h hr hrs hour hours 小时",
            "86400": "day days 天 日",
            "604800": "week weeks 周 星期",
        },
        "months": {"1": "month months 个月", "12": "year years yr yrs 年"},
        "dollars": {"1/100": "cent cents ¢", "1": "$ dollar dollars usd 美元"},
        "yuan": {"1/10": "角", "1": "元 yuan rmb ¥ cny"},
        "force": {"1": "N newton newtons"},
        "volume": {"1/1000": "ml milliliter milliliters millilitre 毫升", "1": "l liter liters litre litres 升"},
        "angle": {"1": r"degree degrees ^\circ 度"},
        "euros": {"1": "€ euro euros eur 欧元"},
        "pounds sterling": {"1": "£ gbp 英镑"},
    }
    units = {
        name: Unit(dimension, Fraction(size))
        for dimension, sizes in rows.items()
        for size, names in sizes.items()
        for name in names.split()
    }
    units |= dict.fromkeys(("unit", "units"), Unit(ANY, Fraction(1)))
    for name, unit in [item for item in units.items() if item[1].dimension in ("length", ANY)]:
        for power, before in ((2, ("square ", "sq ", "sq. ", "平方")), (3, ("cubic ", "cu ", "立方"))):
            of_power = Unit(f"{unit.dimension}^{power}", unit.size**power)
            units |= {f"{name}^{power}": of_power} | {prefix + name: of_power for prefix in before}
    return units


UNITS = _table()
# A letter stuck to a number is algebra (5m, 3t) and a lone one after a space may be: these stand for units only where spaced.
STUCK = {name for name in UNITS if len(name) > 1 or not name.isascii() or not name.isalpha()}
NO_UNITS = frozenset((
    "and", "or", "mod", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "pi", "frac", "to",
    "if", "for", "when", "where", "with", "infty", "cdot", "pm", "le", "ge", "div", "otherwise", "than",
    "not", "no", "dozen", "thousand", "million", "billion", "trillion", "hundred",
))  # fmt: skip
CURRENCY = re.compile(r"^([-+]?)\s*(\$|¥|€|£|₹|USD|US\$|RMB|CNY|EUR|Rs\.?)\s*([-+]?)\s*(?=[\d.\\(])", re.IGNORECASE)
PERCENT = re.compile(r"\s*(?:%|\b(?:percent|per cent|percentage points?)\b)\s*$", re.IGNORECASE)
SCALE = re.compile(r"(?:dozen|thousand|million|billion|trillion)\b|[十百千]?万亿?|亿", re.IGNORECASE)
CHINESE_PERCENT = re.compile(r"^百分之\s*(.+)$")
CHINESE_FRACTION = re.compile(r"^([\d零一二三四五六七八九十百两]+)\s*分之\s*([\d零一二三四五六七八九十百两]+)$")
CHINESE_MIXED = re.compile(r"^([\d零一二三四五六七八九十百两]+)\s*又\s*(.+分之.+|\d+/\d+|\\frac.+)$")
LEADING = re.compile(
    r"^(?:\\approx|\\sim|about|approximately|around|roughly|nearly|exactly|only|a total of|total of|"
    r"总共|一共|大约|约等于|约为|约|等于|共|"
    r"is|are|it is|equals?|=)\s*(?=[^a-zA-Z\s])",
    re.IGNORECASE,
)
PROSE_NUMBER = re.compile(
    r"(?<![\w.])(\d*\(\d+/\d+\)|\$?\s?-?\d[\d,]*(?:\.\d+)?(?:/\d+)?)(?!\w|\.\d)(\s*%|\s+percent)?", re.ASCII
)
PROSE = re.compile(r"[A-Za-z\u3400-\u9fff',.\s-]*")
CHANGING = frozenset((
    "not", "no", "than", "least", "most", "less", "more", "greater", "fewer", "larger", "smaller", "between", "to",
    "times", "half", "twice", "double", "squared", "cubed", "over", "minus", "plus", "divided", "multiplied", "base",
    "mod", "modulo", "or", "if", "nor", "per", "x", "y", "z", "root", "power", "remainder", "factorial",
))  # fmt: skip
RATE = re.compile(r"(?<=[\d)}])\s*/\s*([A-Za-z]{2,}|[\u3400-\u9fff]+)(?=$| )")
CHINESE_CHANGING = re.compile("[不非少多倍于至或和与的比]|[大小](?![\u3400-\u9fff])")
POWER = r"(?:\s*\^\s*(?:\{\s*[23]\s*\}|[23]))?"
BETWEEN = r"(?:\s*/\s*|\s+|$)"
SUFFIX = re.compile(
    rf"(?<![\\A-Za-z])((?:[A-Za-z][A-Za-z.']*(?:-[A-Za-z.']{{3,}})*{POWER}(?:{BETWEEN}|(?=[\u3400-\u9fff]))"
    rf"|(?:[\u3400-\u9fff]+|\^\\circ|[$¥€£¢]){POWER}{BETWEEN})+)$"
)
OPERATOR = re.compile(r"\\(?:cdot|times|le|ge|ne|in|pm|cup|to)$")
PART = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*([A-Za-z]+|[\u3400-\u9fff]+|\^\\circ)\s*(?:,\s*|and\s+)?")


def read_quantity(text: str) -> Quantity | None:
    """A number with a unit, a currency, a percent sign or words after it; None where the text is something else."""
    text = RATE.sub(_rate, LEADING.sub("", text))
    plain = read_number(text)
    if plain is not None:
        return Quantity(plain)
    mixed = CHINESE_MIXED.match(text)
    if mixed:
        whole, rest = read_number(mixed.group(1)), read_quantity(mixed.group(2))
        return Quantity(Number(whole.value + rest.number.value)) if whole and rest else None
    fraction = CHINESE_FRACTION.match(text)
    percent = CHINESE_PERCENT.match(text)
    if percent:
        number = read_number(percent.group(1).strip())
        return Quantity(number, percent=True) if number else None
    if fraction:
        bottom, top = (read_number(part) for part in fraction.groups())
        return Quantity(Number(top.value / bottom.value)) if top and bottom and bottom.value else None
    currency = CURRENCY.match(text)
    unit = None
    if currency:
        unit = UNITS.get(currency.group(2).lower().removeprefix("us"))
        text = currency.group(1) + currency.group(3) + text[currency.end() :]
    shown = PERCENT.search(text)
    if shown and shown.start() > 0:
        number = read_number(text[: shown.start()].strip())
        return Quantity(number, percent=True) if number else _in_prose(text)
    number = read_number(text)
    if number is not None:
        return Quantity(number, unit, words=currency is not None)
    return _with_unit(text, unit) or _compound(text) or _in_prose(text)


def _rate(found: re.Match[str]) -> str:
    """`$12/hour` as `$12 per hour`; a quotient of letters stays one."""
    name = found.group(1)
    return f" per {name}" if len(name) > 3 or known_unit(name) or not name.isascii() else found.group()


def _with_unit(text: str, unit: Unit | None) -> Quantity | None:
    quantity, name = split_unit(text)
    number = read_number(quantity) if name else None
    if number is None:
        return None
    scaled = SCALE.match(name)
    if not scaled:
        return Quantity(number, unit or known_unit(name), words=True)
    scale = int(read_words(scaled.group()) or 1)
    number = Number(number.value * scale)
    return Quantity(number, unit or known_unit(name[scaled.end() :].strip()), words=True, scale=scale)


def _in_prose(text: str) -> Quantity | None:
    """The one number of a few words (`she has 36 apples`, `a 20% increase`); None where the words change or compare it."""
    numbers = PROSE_NUMBER.findall(text)
    if not numbers:
        return _in_words(text)
    if len(numbers) != 1 or not PROSE.fullmatch(PROSE_NUMBER.sub(" ", text)):
        return None
    words = re.findall(r"[a-z]+", PROSE_NUMBER.sub(" ", text).casefold())
    if (not words and text.isascii()) or any(word in CHANGING or (len(word) < 2 and word != "a") for word in words):
        return None
    if CHINESE_CHANGING.search(text) or any(word.removesuffix("s") in PARTS for word in words):
        return None
    number = read_number(numbers[0][0].strip("$ "))
    return Quantity(number, percent=bool(numbers[0][1]), words=True, prose=tuple(words) or (text,)) if number else None


def _in_words(text: str) -> Quantity | None:
    """`seven days`: a number in English words, and words after it."""
    words = text.split()
    for count in range(min(4, len(words) - 1), 0, -1):
        value = read_words(" ".join(words[:count]))
        rest = words[count:]
        if value is not None and all(word.isalpha() and word.casefold() not in CHANGING for word in rest):
            return Quantity(Number(value), known_unit(" ".join(rest)), words=True)
    return None


def split_unit(text: str) -> tuple[str, str]:
    """An answer without the unit or words at its end, and those; the words are empty where there are none to take off."""
    for match in SUFFIX.finditer(text):
        name, before = match.group(1).strip(), text[: match.start()]
        quantity = before.rstrip()
        if not quantity or quantity[-1] in "=+-*/^_,<>&\\(" or OPERATOR.search(quantity):
            continue
        stuck = before == quantity
        if _is_unit(name, stuck):
            return quantity, name
        letter, _, words = name.partition(" ")
        if stuck and words and len(letter) == 1 and _is_unit(words, False):  # `4t square units`
            return quantity + letter, words
    return text, ""


def _is_unit(name: str, stuck: bool) -> bool:
    words = re.findall(r"[A-Za-z][A-Za-z.'-]*|[\u3400-\u9fff]+|\^\\circ|[$¥€£¢]", name)
    if not words:  # only signs: `0x /`
        return False
    first = words[0]
    if any(word.casefold() in NO_UNITS or (first == "times" and len(word) < 2) for word in words[1:]):
        return False
    if SCALE.match(name):
        return True
    if first.casefold() in NO_UNITS:
        return False
    if stuck and first.isascii() and first[0].isalpha():
        return first.casefold().rstrip(".") in STUCK
    return known_unit(first) is not None or len(first) > 2 or not first.isascii() or not first.isalpha()


def known_unit(name: str) -> Unit | None:
    """The unit of that name, or None."""
    plain = re.sub(r"\s*\^\s*\{?\s*([23])\s*\}?", r"^\1", name.strip().rstrip("."))
    return UNITS.get(plain) or UNITS.get(plain.casefold())


def _compound(text: str) -> Quantity | None:
    """`2 hours 30 minutes` and `5 feet 6 inches`: ever smaller parts of one dimension, added up in its base unit."""
    place, total, parts = 0, Fraction(0), 0
    base: Unit | None = None
    while place < len(text):
        match = PART.match(text, place)
        unit = _part_of(base, match.group(2)) if match else None
        if match is None or unit is None or (base and (unit.dimension != base.dimension or unit.size >= base.size)):
            return None
        number = read_number(match.group(1))
        if number is None:
            return None
        total += number.value * unit.size
        base, place, parts = unit, match.end(), parts + 1
    return Quantity(Number(total), Unit(base.dimension, Fraction(1)), words=True) if base and parts > 1 else None


def _part_of(base: Unit | None, name: str) -> Unit | None:
    """The unit of a further part: a Chinese 分 is a minute after hours and a hundredth after yuan."""
    if name == "分" and base:
        return {"time": UNITS["分钟"], "yuan": Unit("yuan", Fraction(1, 100))}.get(base.dimension)
    return known_unit(name)


def same_quantity(prediction: Quantity, gold: Quantity) -> tuple[bool | None, str]:
    """Whether two quantities are the same answer, and by which rule; None where their units leave it open.

    A percentage is its number or its hundredth, whichever the other one is (50% and 50 and 0.5). A missing unit is no
    mistake; a known one that is another is, unless it measures the same.
    """
    if gold.prose and prediction.prose and gold.prose != prediction.prose:
        return None, "unit"
    unscaled = gold.number.value * prediction.scale == prediction.number.value * gold.scale
    if prediction.scale != gold.scale and 1 in (prediction.scale, gold.scale) and unscaled:
        return None, "unit"  # "3 million", where the question may ask how many millions
    if prediction.percent != gold.percent:
        share, other = (prediction, gold) if prediction.percent else (gold, prediction)
        if same_number(_hundredth(share.number), other.number):
            return (None if other.unit or other.number.value.denominator == 1 else True), "percent"
        same = same_number(share.number, other.number)
        return (None if same and prediction.percent and abs(other.number.value) < 1 else same), "percent"
    same = same_number(prediction.number, gold.number)
    first, second = prediction.unit, gold.unit
    if first == second:
        return same, "unit" if prediction.words or gold.words else "percent" if gold.percent else "number"
    if first is not None and second is not None:
        if first.dimension != second.dimension:
            return (None if same is not False else False), "unit"
        return _same_measure(prediction.number, first, gold.number, second), "unit"
    if same is not False:
        return same, "unit"
    known = first or second
    assert known is not None
    with_unit, without = (prediction.number, gold.number) if first else (gold.number, prediction.number)
    explained = any(
        unit.dimension == known.dimension and with_unit.value * known.size == without.value * unit.size
        for unit in UNITS.values()
    )
    return (None if explained else False), "unit"


def _same_measure(first: Number, first_unit: Unit, second: Number, second_unit: Unit) -> bool | None:
    return same_number(Number(first.value * first_unit.size), Number(second.value * second_unit.size))


def _hundredth(number: Number) -> Number:
    return Number(number.value / 100, None if number.decimals is None else number.decimals + 2)
