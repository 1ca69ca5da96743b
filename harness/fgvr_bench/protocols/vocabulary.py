"""The words that tell how a text means a letter or a label: declared, stated, compared, ruled out.

Every pattern is searched in a window of bounded length beside a mention, so that reading stays linear.  ``MENTION``
stands for one mention in a skeleton (see `skeleton`).
"""

from __future__ import annotations

import re

MENTION = "[\ue000-\uf8ff]"

_FILLER = (
    r"(?>\b(?:an?|the|that|of|also|most|in fact|option|choice|letter|answer|number|label|class|to be|been?|our|my|possible"
    r"|[a-z]+ly|indeed|therefore|thus|hence|just|still)\b|[\s:,\"#-])*+"
)


def _left(pattern: str) -> re.Pattern[str]:
    """Match at the end of what stands before a mention, with filler words between."""
    return re.compile(rf"(?:{pattern}){_FILLER}$")


DECLARED_BEFORE = _left(
    r"\b(?:answer|choice|option|letter|selection|pick|guess|verdict|conclusion|classification|identification|species"
    r"|match|candidate|decision|prediction|label|category|response)\b[^,.;:]{0,60}?\b(?:is|be|are|as|becomes|remains)\b"
    r"|\b(?:answer|choice|option|letter|selection|pick|guess|verdict|conclusion|classification|identification|species"
    r"|match|decision|prediction|label|category|response|correct)\b\s*(?:[:=]|-+>?|→)+"
    r"|\banswer\b"
    r"|\b(?:i|we)(?:'d|'ll| would| will| must| have to| can| should| am| hereby)?(?: \w+ly)?\s+"
    r"(?:choose|chose|pick|picked|select|selected|go with|going with|opt for|vote for|say|guess|answer|answered|conclude)\b"
    r"|答案\s*(?:是|为|為|应为|應為|应该是|應該是|选|選)?\s*:?|[选選](?:择|擇|项|項)?\s*:?|正解は|答えは|정답은|답은"
    r"|\bantwort(?:\s+(?:ist|lautet))?\s*:?|\bréponse(?:\s+(?:correcte\s+)?est)?\s*:?(?:\s*la)?"
    r"|\brespuesta(?:\s+correcta)?(?:\s+es)?\s*:?(?:\s*la)?|\bresposta(?:\s+(?:correta\s+)?é)?\s*:?(?:\s*a)?"
)
"""The text says that what follows is its answer."""

DECLARED_AFTER = re.compile(
    r"\s*(?:,?\s*(?:is|are|would be|must be|seems|appears|looks)(?: to be)?(?: \w+ly)?(?: indeed)?\s+(?:the\s+|a\s+|my\s+)?"
    r"(?:most\s+)?(?:\w+ly\s+)?(?:correct|right|best|closest|answer|likely|true|final|accurate|only"
    r"|(?:one|species|bird|dog|cat|pet|flower|plant|car|aircraft|airplane|model|option|choice|description|label|class)\s+"
    r"(?:that|which|shown|depicted|pictured|in))\b"
    r"|\s*[:,-]?\s*(?:correct|right|yes)\b|\s*[✓✔✅☑])"
)
"""The text says of what came before that it is the answer."""

STATED_BEFORE = _left(
    r"\b(?:is|was|be|it's|that's|this's|he's|she's|shows?|showing|depicts?|depicting|displays?|displaying|contains?|presents?"
    r"|see|suggests?|indicates?|identify|identified as|classified as|labell?ed as|labell?ed|recogni[sz]ed as|called|named"
    r"|known as|confirms?|reveals?|represents?|favou?rs?|supports?|points? to|match(?:es|ing)?|fits?|means|becomes?"
    r"|remains?|leaving|leaves|narrows? (?:it )?down to|down to|but|so|then|hence|thus|therefore|definitely|clearly|probably"
    r"|obviously|certainly|surely|rather|actually|conclusion"
    r"|(?:image|photo|picture|photograph|shot|example|portrait|view|species|type|kind|breed|variety|specimen) of)\b"
    r"|->|=>|→|⇒|="
)
"""The text says that the picture shows what follows."""

STATED_AFTER = re.compile(
    r"\s*(?:(?:is|are|can be|was)\s+(?:\w+ly\s+)?(?:shown|depicted|pictured|displayed|visible|seen|present|featured"
    r"|in (?:the|this) (?:image|picture|photo))\b"
    r"|(?:best |clearly )?(?:matches|fits)\b|it is\b|appears in\b)"
)
"""The text says that the picture shows what came before."""

ENDS_STATEMENT = re.compile(r"(?:[,:]|\s-)\s*(?:so|then|hence|thus|therefore|definitely|it's|it is)?\s*$")
"""A mention that ends a sentence after a comma or colon (``Judging by the crest, C``) states an answer."""

RULED_OUT_BEFORE = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|rules? out|ruled out|ruling out|exclud\w+|eliminat\w+|reject\w*|dismiss\w*"
    r"|discard\w*|instead of|other than|except|unlike|without|incorrect|wrong|unlikely|lack(?:s|ing)?|impossible|far from"
    r"|anything but|no longer|hardly|false|fails?)\b|n't\b|\bno\b(?! doubt| question)|[不非没沒])[^,;]*$"
)
"""The text says that what follows is not the answer; up to a comma, or a word that turns it (`TURN`)."""

RULED_OUT_AFTER = re.compile(
    r"\s*(?:,?\s*(?:is|are|was|were|looks?|seems?|appears?|can|could|would|should|do|does|did|has|have|may|might|must)\b"
    r"(?:\s*(?:n't|not)\b)?(?:\s+(?:\w+ly|both|all|also|be|been|therefore|thus|so|too|just|simply)\b){0,3}\s*"
    r"(?:n't|not\b|never\b|wrong|incorrect|false\b|ruled out|excluded|eliminated|impossible|unlikely|less likely|out\b"
    r"|no\b|different|dismissed|rejected|inconsistent|the wrong|less)"
    r"|,?\s*(?:can't|cannot|doesn't|don't|isn't|aren't|wasn't|won't|wouldn't|couldn't|lacks?|differs?|fails?)\b"
    r"|\s*[:,-]?\s*(?:incorrect|wrong|no|not|false)\b|\s*[✗✘❌✖]|\s*(?:ではな|じゃな|[이가]? ?아니))"
)
"""The text says of what came before that it is not the answer."""

TURN = re.compile(r"\b(?:but|instead|rather(?! than)|so|therefore|thus|hence)\b|[;→]")
"""What follows such a word is no longer ruled out by what came before it."""

COMPARED_BEFORE = re.compile(
    r"\b(?:resembl\w+|similar(?:ity|ities|ly)?|reminiscent|compar\w+|than|confus\w+|mistak\w+|close to|related|differ\w*"
    r"|distinguish\w*|versus|vs|between|as with|akin|relatives?|cousins?|alternatives?|lookalikes?|unlike)\b[^,;]*$"
)
"""The text only compares with what follows."""

LIKENED_BEFORE = re.compile(
    r"\b(?:like|could be|might be|may be|can be|could also be|maybe|perhaps|possibly|potentially|consider\w*|suspect\w*"
    r"|could|might|may)\b[^,;]*$"
)
"""The text holds what follows to be possible."""

SUPPOSED_BEFORE = re.compile(
    r"\b(?:if|whether|unless|suppose|assuming|had it)\b[^,;]*$|\b(?:if|had|were)\b[^;]*\bwould\b[^,;]*$"
)
"""The text only supposes what follows."""

CORRECTS = re.compile(
    r"\b(?:wait|actually|correction|sorry|scratch that|second thoughts?|reconsider\w*|re-?check\w*|my mistake|apolog\w+"
    r"|no(?=\s*[,.!;:-]|\s*$)|but|however|rather|instead|yet|hmm|in fact|mistaken|misread|i meant|correct that)\b"
)
"""The text takes something back."""

RETRACTS = re.compile(
    r"\b(?:wait|correction|sorry|scratch that|second thoughts?|let me reconsider|reconsidering|my mistake"
    r"|(?:that|this|it|which)(?:'s| is| was)(?: \w+ly)? (?:wrong|incorrect|not right|not correct|a mistake)"
    r"|i (?:was|am) (?:wrong|mistaken)|no(?=\s*[,.!;]|\s*$))\b"
)
"""The text takes back what it said, whether or not it says something else."""

CONCLUDES = re.compile(
    r"\b(?:therefore|thus|hence|so|in conclusion|conclud\w+|conclusion|overall|finally|ultimately|final|in summary"
    r"|to sum up|all in all|as a result|consequently)\b|∴"
)
"""The text draws its conclusion."""

REFUSES = re.compile(
    r"\b(?:can't|cannot|can not|unable|not sure|unsure|not certain|uncertain|don't know|do not know|unclear|difficult"
    r"|hard to|impossible|insufficient|not possible|none of|not enough|ambiguous|undetermined|not visible|n/?a)\b"
)
"""The text says that it does not know."""

BARE = re.compile(
    r"(?>\b(?:it's|option|choice|letter|the|an?|certainly|definitely|clearly|probably|likely|most|obviously|sure|surely|yes"
    r"|okay|ok|well|so|hence|thus|then|actually|therefore|finally|here|indeed|maybe|perhaps|is|it|this|that)\b"
    r"|[\s,:'\"/.!?;-])*+"
)
"""Words around a mention that leave it the whole of a sentence."""

JOINS = (
    r"(?:\s*(?:,\s*(?:or|and|nor)?|/|&|\+|\|\||\band/or\b|\bor\b|\band\b|\bnor\b|\bversus\b|\bvs\b\.?)"
    r"(?:\s+(?:maybe|perhaps|possibly|even|either|also|the|an?|option|choice|letter|both|species)\b)*\s*|\s)"
)
"""What stands between the members of a list of mentions."""

PLAIN_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "these",
        "those",
        "it",
        "its",
        "it's",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "of",
        "on",
        "onto",
        "or",
        "and",
        "nor",
        "than",
        "to",
        "with",
        "without",
        "like",
        "unlike",
        "not",
        "no",
        "but",
        "so",
        "then",
        "thus",
        "hence",
        "therefore",
        "if",
        "whether",
        "either",
        "neither",
        "both",
        "between",
        "versus",
        "vs",
        "called",
        "named",
        "labeled",
        "labelled",
        "probably",
        "possibly",
        "perhaps",
        "maybe",
        "likely",
        "only",
        "just",
        "still",
        "also",
        "even",
        "more",
        "most",
        "less",
        "rather",
        "actually",
        "indeed",
        "typical",
        "classic",
        "true",
        "pure",
        "purebred",
        "beautiful",
        "lovely",
        "pretty",
        "cute",
        "small",
        "large",
        "big",
        "little",
        "tiny",
        "huge",
        "young",
        "adult",
        "juvenile",
        "immature",
        "mature",
        "old",
        "male",
        "female",
        "baby",
        "wild",
        "domestic",
        "single",
        "another",
        "other",
        "similar",
        "certain",
        "possible",
        "red",
        "orange",
        "yellow",
        "green",
        "blue",
        "purple",
        "violet",
        "pink",
        "white",
        "black",
        "brown",
        "gray",
        "grey",
        "golden",
        "dark",
        "light",
        "pale",
        "bright",
        "colorful",
        "colourful",
        "spotted",
        "striped",
        "fluffy",
        "long",
        "short",
        "tall",
        "slender",
        "flying",
        "perched",
        "sitting",
        "standing",
        "swimming",
        "resting",
        "parked",
        "blooming",
        "species",
        "breed",
        "breeds",
        "type",
        "kind",
        "variety",
        "bird",
        "birds",
        "dog",
        "dogs",
        "cat",
        "cats",
        "pet",
        "pets",
        "flower",
        "flowers",
        "plant",
        "plants",
        "car",
        "cars",
        "aircraft",
        "aircrafts",
        "airplane",
        "plane",
        "jet",
        "vehicle",
        "moth",
        "moths",
        "insect",
        "animal",
        "model",
        "variant",
        "class",
        "category",
        "option",
        "label",
        "choice",
        "answer",
        "name",
        "shows",
        "show",
        "showing",
        "shown",
        "depicts",
        "depict",
        "depicting",
        "displays",
        "display",
        "see",
        "sees",
        "seeing",
        "says",
        "say",
        "said",
        "resembles",
        "resemble",
        "resembling",
        "suggests",
        "suggest",
        "indicates",
        "indicate",
        "choose",
        "chose",
        "pick",
        "select",
        "guess",
        "identify",
        "identified",
        "mean",
        "means",
        "meaning",
        "matches",
        "match",
        "matching",
        "fits",
        "fit",
        "considering",
        "considered",
        "exclude",
        "excluding",
        "eliminates",
        "eliminate",
        "eliminating",
        "rule",
        "out",
        "represents",
        "represent",
        "favors",
        "favours",
        "supports",
        "has",
        "have",
        "had",
        "lacks",
        "lack",
        "contains",
        "contain",
        "features",
        "feature",
        "featuring",
        "which",
        "who",
        "what",
        "while",
        "whereas",
        "since",
        "because",
        "given",
        "though",
        "although",
        "unless",
        "except",
        "excluding",
        "including",
        "include",
        "includes",
        "namely",
        "correct",
        "incorrect",
        "right",
        "wrong",
        "yes",
        "true",
        "false",
        "i",
        "we",
        "you",
        "he",
        "she",
        "they",
        "my",
        "your",
        "our",
        "there",
        "here",
        "one",
        "two",
        "three",
        "four",
        "compared",
        "confused",
        "than",
        "via",
        "per",
    ]
)
"""Words that may stand right before a name without making it the name of something else."""

GENERIC_WORDS = frozenset(
    [
        "bird",
        "birds",
        "dog",
        "dogs",
        "cat",
        "cats",
        "pet",
        "pets",
        "flower",
        "flowers",
        "plant",
        "plants",
        "tree",
        "car",
        "cars",
        "vehicle",
        "sedan",
        "coupe",
        "convertible",
        "van",
        "suv",
        "wagon",
        "hatchback",
        "minivan",
        "truck",
        "cab",
        "aircraft",
        "aircrafts",
        "airplane",
        "plane",
        "jet",
        "moth",
        "moths",
        "insect",
        "animal",
        "species",
        "breed",
        "hound",
        "terrier",
        "image",
        "picture",
        "photo",
        "photograph",
        "option",
        "choice",
        "answer",
        "letter",
        "label",
        "none",
        "all",
        "both",
        "any",
        "other",
        "unknown",
    ]
)
"""Words that name no single class."""
