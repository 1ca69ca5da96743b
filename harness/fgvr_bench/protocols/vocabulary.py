"""The words that tell how a text means a letter or a label: declared, stated, compared, ruled out.

Every pattern is searched in a window of bounded length beside a mention, so that reading stays linear.  ``MENTION``
stands for one mention in a skeleton (see `skeleton`).
"""

from __future__ import annotations

import re

MENTION = "[\ue000-\uf8ff]"

_FILLER = (
    r"(?>\b(?:an?|the|that|of|also|most|in fact|option|choice|letter|answer|number|label|class|to be|been?|our|my"
    r"|possible|[a-z]+ly|indeed|therefore|thus|hence|just|still)\b|[\s:,\"#-])*+"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


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
    r"(?:choose|chose|pick|picked|select|selected|go with|going with|opt for|vote for|say|guess|answer|answered"
    r"|conclude)\b"
    r"|答案\s*(?:是|为|為|应为|應為|应该是|應該是|选|選)?\s*:?|[选選](?:择|擇|项|項)?\s*:?|正解は|答えは|정답은|답은"
    r"|\bantwort(?:\s+(?:ist|lautet))?\s*:?|\bréponse(?:\s+(?:correcte\s+)?est)?\s*:?(?:\s*la)?"
    r"|\brespuesta(?:\s+correcta)?(?:\s+es)?\s*:?(?:\s*la)?|\bresposta(?:\s+(?:correta\s+)?é)?\s*:?(?:\s*a)?"
)
"""The text says that what follows is its answer."""

DECLARED_AFTER = re.compile(
    r"\s*(?:,?\s*(?:is|are|would be|must be|seems|appears|looks)(?: to be)?(?: \w+ly)?(?: indeed)?\s+"
    r"(?:the\s+|a\s+|my\s+)?(?:most\s+)?(?:\w+ly\s+)?(?:correct|right|best|closest|answer|likely|true|final|accurate|only"
    r"|(?:one|species|bird|dog|cat|pet|flower|plant|car|aircraft|airplane|model|option|choice|description|label|class)\s+"
    r"(?:that|which|shown|depicted|pictured|in))\b"
    r"|\s*[:,-]?\s*(?:correct|right|yes)\b|\s*[✓✔✅☑])"
)
"""The text says of what came before that it is the answer."""

STATED_BEFORE = _left(
    r"\b(?:is|was|be|it's|that's|this's|he's|she's|shows?|showing|depicts?|depicting|displays?|displaying|contains?"
    r"|presents?|see|suggests?|indicates?|identify|identified as|classified as|labell?ed as|labell?ed|recogni[sz]ed as"
    r"|called|named|known as|confirms?|reveals?|says?|tells?|represents?|favou?rs?|supports?|points? to"
    r"|match(?:es|ing)?|fits?|means|becomes?|remains?|leaving|leaves|narrows? (?:it )?down to|down to|but|so|then|hence"
    r"|thus|therefore|definitely|clearly|probably|obviously|certainly|surely|rather|actually|conclusion"
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
    r"|discard\w*|instead of|other than|except|unlike|without|incorrect|wrong|unlikely|lack(?:s|ing)?|impossible"
    r"|opposite|far from|(?:anything|everything|all) but|no longer|hardly|false|fails?)\b|n't\b"
    r"|\bno\b(?! doubt| question)|[不非没沒])[^,;]*$"
)
"""The text says that what follows is not the answer; up to a comma, or a word that turns it (`TURN`)."""

RULED_OUT_AFTER = re.compile(
    r"\s*(?:,?\s*(?:is|are|was|were|looks?|seems?|appears?|can|could|would|should|do|does|did|has|have|may|might|must)\b"
    r"(?:\s*(?:n't|not)\b)?(?:\s+(?:\w+ly|both|all|also|be|been|therefore|thus|so|too|just|simply)\b){0,3}\s*"
    r"(?:n't|not\b|never\b|wrong|incorrect|false\b|ruled out|excluded|eliminated|impossible|unlikely|less likely|out\b"
    r"|no\b|different|dismissed|rejected|mistaken|inconsistent|the wrong|less)"
    r"|,?\s*(?:can't|cannot|doesn't|don't|isn't|aren't|wasn't|won't|wouldn't|couldn't|lacks?|differs?|fails?)\b"
    r"|\s*[:,-]?\s*(?:incorrect|wrong|no|not|false)\b|\s*[✗✘❌✖]|\s*(?:ではな|じゃな|[이가]? ?아니))"
)
"""The text says of what came before that it is not the answer."""

TURN = re.compile(
    r"\b(?:(?<!anything )(?<!everything )(?<!all )but|instead|rather(?! than)|so|therefore|thus|hence)\b|[;→]"
)
"""What follows such a word is no longer ruled out by what came before it."""

COMPARED_BEFORE = re.compile(
    r"\b(?:resembl\w+|similar(?:ity|ities|ly)?|reminiscent|compar\w+|than|confus\w+|mistak\w+|close to|related"
    r"|differ\w*|distinguish\w*|like|versus|vs|between|as with|akin|relatives?|cousins?|alternatives?|lookalikes?"
    r"|unlike)\b[^,;]*$"
)
"""The text only compares with what follows."""

SAID_OF = re.compile(
    r"\s*(?:(?:has|have|had|can|could|would|will|may|might|usually|typically|often|tends?|lives?|breeds?|grows?)\b"
    r"|(?:is|are)\s+(?:an?\b|the\b|usually|typically|often|known|found|native|common|rare|larger|smaller|bigger|similar"
    r"|also|one of|another|related)"
    r"|(?:mix|cross|hybrid|look-?alike|relative|imitation|family|genus)\b)"
)
"""The text says something of what came before in general, which is not to see it in the picture."""

LIKENED_BEFORE = re.compile(
    r"\b(?:(?:look|looks|looking|looked|seems?|appears?) (?:\w+ ){0,2}like|(?:more|most|much|rather) like|could also be"
    r"|(?:could|might|may|can) be|maybe|perhaps|possibly|potentially|consider\w*|suspect\w*|could|might|may)\b[^,;]*$"
)
"""The text holds what follows to be possible."""

SUPPOSED_BEFORE = re.compile(
    r"\b(?:if|whether|unless|suppose|assuming|had it)\b[^,;]*$|\b(?:if|had|were)\b[^;]*\bwould\b[^,;]*$"
)
"""The text only supposes what follows."""

CONTRARY = (
    re.compile(r"\bif\b(?! i (?:had|have|must|were|was)\b)"),
    re.compile(r"\b(?:were|had|was|wasn't|weren't|hadn't)\b"),
    re.compile(r","),
    re.compile(r"\bwould\b[^,;]*$"),
)
"""These, one after another before a mention, say what would be the answer to another picture."""

CONTRARY_AFTER = re.compile(r"\s*,?\s*(?:unless|had it|were it|if (?!i (?:had|have|must|were|was)\b))\b")
"""The text says so after it."""

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
    r"\b(?:can't|cannot|can not|unable|not sure|unsure|not certain|uncertain|don't know|do not know|unclear"
    r"|difficult|hard to|impossible|insufficient|not possible|none of|not enough|ambiguous|undetermined"
    r"|not visible|n/?a)\b"
)
"""The text says that it does not know."""

BARE = re.compile(
    r"(?>\b(?:it's|option|choice|letter|the|an?|certainly|definitely|clearly|probably|likely|most|obviously|sure|surely"
    r"|yes|okay|ok|well|so|hence|thus|then|actually|therefore|finally|here|indeed|maybe|perhaps|is|it|this|that)\b"
    r"|[\s,:'\"/.!?;-])*+"
)
"""Words around a mention that leave it the whole of a sentence."""

GUESSES = re.compile(r"(?:(?:maybe|perhaps|probably|possibly|option|choice|letter|the|an?)\b|[\s,'\"?-])*+")
"""Words around a mention that leave a question mark no more than a doubt (``Maybe B?``)."""

JOINS = (
    r"(?:\s*(?:,\s*(?:or|and|nor)?|/|&|\+|\|\||\band/or\b|\bor\b|\band\b|\bnor\b|\bversus\b|\bvs\b\.?)"
    r"(?:\s+(?:maybe|perhaps|possibly|even|either|also|the|an?|option|choice|letter|both|species)\b)*\s*|\s)"
)
"""What stands between the members of a list of mentions."""

PLAIN_WORDS = _words(
    """
    a actually adult aircraft aircrafts airplane also although an and animal another answer are as at baby be
    beautiful because been being between big bird birds black blooming blue both breed breeds bright brown but
    by called car cars cat category cats certain choice choose chose class classic colorful colourful compared
    confused considered considering contain contains correct cute dark depict depicting depicts display displays
    dog dogs domestic either eliminate eliminates eliminating even except exclude excluding false favors favours
    feature features featuring female fit fits flower flowers fluffy flying for four from given golden gray
    green grey guess had has have he hence here huge i identified identify if immature in include includes
    including incorrect indeed indicate indicates insect into is it it's its jet just juvenile kind label
    labeled labelled lack lacks large less light like likely little long lovely male match matches matching
    mature maybe mean meaning means model more most moth moths my name named namely neither no nor not of old on
    one only onto option or orange other our out pale parked per perched perhaps pet pets pick pink plane plant
    plants possible possibly pretty probably pure purebred purple rather red represent represents resemble
    resembles resembling resting right rule said say says see seeing sees select she short show showing shown
    shows similar since single sitting slender small so species spotted standing still striped suggest suggests
    supports swimming tall than that the then there therefore these they this those though three thus tiny to
    true two type typical unless unlike variant variety vehicle versus via violet vs was we were what whereas
    whether which while white who wild with without wrong yellow yes you young your
    un une le la les des ein eine einen der die das una el los il lo uma um os
    """
)
"""Words that may stand right before a name without making it the name of something else."""

GENERIC_WORDS = _words(
    """
    aircraft aircrafts airplane all animal answer any bird birds both breed cab car cars cat cats choice
    convertible coupe dog dogs flower flowers hatchback hound image insect jet label letter minivan moth moths
    none option other pet pets photo photograph picture plane plant plants sedan species suv terrier tree truck
    unknown van vehicle wagon
    """
)
"""Words that name no single class."""
