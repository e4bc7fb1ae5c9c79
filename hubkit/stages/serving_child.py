"""The parent's end of a process that is under load, or makes it."""

from __future__ import annotations

from pydantic import TypeAdapter

from hubkit.formats_records import Level
from hubkit.stages.child import Child
from hubkit.stages.serving_worker import Answer, Done, Load, Ready, RunLevel


class ServingChild(Child[Answer]):
    """A process that holds the instances of one engine."""

    module = "hubkit.stages.serving_worker"
    answers: TypeAdapter[Answer] = TypeAdapter(Answer)
    stage = "serve-load"
    process = "the process under load"
    cure = (
        "Run the same command again: finished levels are kept. Where memory is short, take fewer"
        " instances or a smaller batch."
    )

    def load(self, call: Load) -> Ready:
        """Have the model loaded; how long a sentence of the requests is comes back."""
        self.send(call)
        answer = self.receive()
        assert isinstance(answer, Ready)
        return answer

    def level(self, *, concurrency: int | None = None, rate_per_s: float | None = None) -> Level:
        """Have one level measured; this process sleeps meanwhile."""
        self.send(RunLevel(concurrency=concurrency, rate_per_s=rate_per_s))
        answer = self.receive()
        assert isinstance(answer, Done)
        return answer.level
