"""The context of a trace is W3C's `traceparent`, and names spans without holding them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.trace_context import TraceContext, TraceSampler, canvas_trace, trace_context

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{TRACE[::-1]}-{SPAN}-01"

contexts = st.builds(
    TraceContext,
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.booleans(),
)


class TestHeader:
    @given(context=contexts)
    def test_a_context_is_read_as_it_was_written(self, context: TraceContext) -> None:
        """A context's header names that context."""
        assert trace_context(context.traceparent) == context

    @pytest.mark.parametrize(
        "text",
        [
            None,
            "",
            "00",
            f"00-{TRACE}-{SPAN}",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"{SAMPLED}-more",
            f"01-{TRACE}-{SPAN}-01more",
            f"{SAMPLED}\n",
        ],
    )
    def test_what_is_no_context_is_none(self, text: str | None) -> None:
        """A header that the specification calls invalid is as none."""
        assert trace_context(text) is None

    def test_a_later_version_may_have_more_parts(self) -> None:
        """Of a later version the parts of this one are read."""
        assert trace_context(f"01-{TRACE}-{SPAN}-09-more") == TraceContext(TRACE, SPAN, True)


class TestSampler:
    @pytest.mark.parametrize("flags", ["00", "01"])
    def test_the_clients_decision_counts(self, flags: str) -> None:
        """A request with a context is in the client's trace, and sampled as the client says."""
        for share in (0.0, 1.0):
            trace = TraceSampler(share, random.Random(1))(f"00-{TRACE}-{SPAN}-{flags}")
            assert trace.context.trace_id == TRACE
            assert trace.context.span_id != SPAN
            assert trace.context.is_sampled == (flags == "01")
            assert trace.parent is not None
            assert trace.parent.span_id == SPAN

    def test_a_share_of_the_other_requests_is_sampled(self) -> None:
        """A request without a context has a trace of its own, sampled with the share's chance."""
        begin = TraceSampler(0.25, random.Random(1))
        traces = [begin(None) for _ in range(4000)]
        assert len({trace.context.trace_id for trace in traces}) == 4000
        assert all(trace.parent is None for trace in traces)
        assert 900 < sum(trace.context.is_sampled for trace in traces) < 1100


class TestCanvas:
    def test_a_canvas_of_one_request_is_in_its_trace(self) -> None:
        """Where all photos are of one request, its span is the canvas's parent."""
        trace = canvas_trace("c", [SAMPLED, SAMPLED])
        assert trace is not None
        assert trace.context.trace_id == TRACE
        assert trace.parent == trace_context(SAMPLED)

    @pytest.mark.parametrize("other", [OTHER, ""])
    def test_a_canvas_of_several_has_a_trace_of_its_own(self, other: str) -> None:
        """Beside photos of another request, or of none that is traced, it is in no client's
        trace."""
        trace = canvas_trace("c", [SAMPLED, other])
        assert trace is not None
        assert trace.context.trace_id not in SAMPLED + other
        assert trace.context.is_sampled
        assert trace.parent is None

    def test_a_canvas_of_untraced_requests_has_no_trace(self) -> None:
        """Without tracing no canvas has a trace."""
        assert canvas_trace("c", ["", ""]) is None

    def test_a_canvas_is_exported_where_one_of_its_requests_is(self) -> None:
        """The canvas of two requests that are not sampled is not sampled either."""
        unsampled = [text[:-1] + "0" for text in (SAMPLED, OTHER)]
        trace = canvas_trace("c", unsampled)
        assert trace is not None
        assert not trace.context.is_sampled
