"""Models behind an OpenAI-compatible chat-completions server: nothing is loaded here, questions are sent.

=============  ===================================================================================
`plugin`       the declaration: settings, the run's identity, the check that the server is there
`address`      model and url out of ``MODEL@URL``
`keys`         the key, from the environment only, and kept out of all that is shown or written
`preparing`    a picture as a data URL, in worker processes
`wire`         a question as a request, an answer as a response; pure
`faults`       what an HTTP status or a broken answer means: ask again, one failed answer, or stop
`manners`      how many requests at once and a minute, how often again, how long
`pace`         when the next request may go out
`background`   the event loop that they live on
`client`       requests side by side, with back-off and time-outs
`model`        the model that the harness asks
=============  ===================================================================================
"""

from fgvr_bench.engines.openai_api.plugin import OpenAIPlugin

__all__ = ["OpenAIPlugin"]
