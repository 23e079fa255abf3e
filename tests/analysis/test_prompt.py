"""The vision request, and which requests are equal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import texts

from litellm_image_analysis.analysis.prompt import INSTRUCTIONS, MAX_QUESTION_CHARACTERS, VisionRequest, vision_request
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.request.image import Holder, ImageSource

CAT = ImageSource("data:image/png;base64,AAAA")
DOG = ImageSource("data:image/png;base64,BBBB")
RESEARCH = Tenant("team:research", b"secret")


def asked(**changed: Any) -> VisionRequest:
    """A usual request about one image, or ``images`` with their numbers, with changes."""
    usual: dict[str, Any] = {
        "tenant": RESEARCH,
        "model": "eyes",
        "images": [(1, changed.pop("source", CAT))],
        "question": "What is it?",
        "instructions": None,
        "max_output_tokens": 1500,
    }
    return vision_request(**usual | changed)


def question_in(request: VisionRequest) -> str:
    return str(request.messages[1]["content"][0]["text"])


def shown_in(request: VisionRequest) -> list[dict[str, Any]]:
    """The content parts after the question."""
    parts: list[dict[str, Any]] = request.messages[1]["content"][1:]
    return parts


def text_part(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def image_part(**image_url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": image_url}


class TestLoggable:
    @pytest.mark.parametrize("holder", [None, "openai", "anthropic"])
    def test_all_is_there_but_the_images(self, holder: Holder | None) -> None:
        cat = ImageSource("CAT" if holder else CAT.url, holder=holder)
        request = asked(images=[(1, cat), (2, DOG)])
        logged = request.loggable
        assert (logged["model"], logged["max_tokens"]) == ("eyes", 1500)
        assert logged["messages"][0] == request.messages[0]
        words, first, _, second, _ = request.messages[1]["content"]
        left_out = text_part("[image]")
        assert logged["messages"][1] == {"role": "user", "content": [words, first, left_out, second, left_out]}


class TestOneImage:
    def test_a_request_is_instructions_then_the_question_with_its_image(self) -> None:
        assert asked().messages == [
            {"role": "system", "content": INSTRUCTIONS},
            {
                "role": "user",
                "content": [
                    text_part("The image came with this question, which another model will answer:\n\nWhat is it?"),
                    image_part(url="data:image/png;base64,AAAA"),
                ],
            },
        ]

    def test_model_bound_and_tenant_are_handed_on(self) -> None:
        request = asked(model="other-eyes", max_output_tokens=7)
        assert (request.model, request.max_output_tokens, request.scope) == ("other-eyes", 7, "team:research")

    def test_own_instructions_replace_the_built_in_ones(self) -> None:
        assert asked(instructions="Read it.").messages[0] == {"role": "system", "content": "Read it."}

    def test_half_a_character_in_a_question_is_replaced(self) -> None:
        """It cannot be sent, so the call would fail within LiteLLM."""
        request = asked(question="What \ud83d is it?")
        assert "What \ufffd is it?" in str(request.messages)
        str(request.messages).encode()

    @pytest.mark.parametrize(
        ("source", "image_url"),
        [
            (ImageSource("data:image/png;base64,iVBORw0K"), {"url": "data:image/png;base64,iVBORw0K"}),
            (ImageSource("https://x.example/%41?a=b#c"), {"url": "https://x.example/%41?a=b#c"}),
            (ImageSource("DATA:image/png;base64, AA==\n"), {"url": "data:image/png;base64,AA=="}),
            (ImageSource("data:,", detail="low"), {"url": "data:,", "detail": "low"}),
            (ImageSource("data:,", format="image/webp"), {"url": "data:,", "format": "image/webp"}),
            (ImageSource("data:,", "", ""), {"url": "data:,", "detail": "", "format": ""}),
            (ImageSource("gs://bucket/cat.png", holder="vertex_ai"), {"url": "gs://bucket/cat.png"}),
        ],
    )
    def test_the_image_is_handed_on_as_it_came_if_it_is_well_written(
        self, source: ImageSource, image_url: dict[str, str]
    ) -> None:
        assert shown_in(asked(source=source)) == [image_part(**image_url)]

    @pytest.mark.parametrize("holder", ["anthropic", "openai"])
    @pytest.mark.parametrize(("media_type", "sent"), [("image/webp", "image/webp"), (None, "image/png")])
    def test_a_file_at_its_provider_is_named_by_its_id(self, holder: Holder, media_type: str | None, sent: str) -> None:
        file = ImageSource("file-1", format=media_type, holder=holder)
        assert shown_in(asked(source=file)) == [{"type": "file", "file": {"file_id": "file-1", "format": sent}}]

    @pytest.mark.parametrize("question", ["", "  ", "\n\t"])
    def test_without_a_question_the_image_is_described_as_a_whole(self, question: str) -> None:
        assert question_in(asked(question=question)) == "The image came without a question."

    def test_a_question_of_full_length_is_asked_whole(self) -> None:
        question = "x" * MAX_QUESTION_CHARACTERS
        assert question_in(asked(question=question)).endswith(f"\n\n{question}")

    def test_a_longer_question_is_cut_in_its_middle(self) -> None:
        half = MAX_QUESTION_CHARACTERS // 2
        question = "a" * half + "x" * 1000 + "z" * half
        shortened = "a" * half + "\n[... 1000 characters left out ...]\n" + "z" * half
        assert question_in(asked(question=question)).endswith(f":\n\n{shortened}")

    @given(texts)
    def test_any_question_can_be_asked(self, question: str) -> None:
        assert asked(question=question) == asked(question=question)


class TestSeveralImages:
    def test_they_are_shown_after_one_question_each_under_its_number(self) -> None:
        request = asked(images=[(1, CAT), (3, DOG)], question="Which is older?")
        assert question_in(request) == (
            "There are 2 images, which came together. Report on each under its number, then on what they have in common"
            " and where they differ. The images came with this question, which another model will answer:"
            "\n\nWhich is older?"
        )
        assert shown_in(request) == [
            text_part("Image 1:"),
            image_part(url=CAT.url),
            text_part("Image 3:"),
            image_part(url=DOG.url),
        ]

    def test_without_a_question_they_are_compared_all_the_same(self) -> None:
        question = question_in(asked(images=[(1, CAT), (2, DOG)], question=" "))
        assert question.startswith("There are 2 images, which came together.")
        assert question.endswith("The images came without a question.")

    def test_a_long_question_about_them_is_cut_too(self) -> None:
        question = question_in(asked(images=[(1, CAT), (2, DOG)], question="x" * (MAX_QUESTION_CHARACTERS + 5)))
        assert "[... 5 characters left out ...]" in question

    def test_one_that_stayed_alone_is_asked_about_like_any_single_image(self) -> None:
        assert asked(images=[(3, CAT)]) == asked(images=[(1, CAT)])


class TestFilesOfOpenAI:
    """Only the Responses API accepts them."""

    FILE = ImageSource("file-1", "high", "image/png", "openai")

    def test_other_images_do_not_need_it(self) -> None:
        assert asked().input is None
        assert asked(source=ImageSource("file_011C", holder="anthropic")).input is None

    def test_it_is_asked_the_same_question_there(self) -> None:
        request = asked(source=self.FILE)
        assert request.input == [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": question_in(request)},
                    {"type": "input_image", "file_id": "file-1", "detail": "high"},
                ],
            }
        ]

    @pytest.mark.parametrize("other", [CAT, ImageSource("https://images.example.com/cat.png")])
    def test_images_it_came_with_go_there_with_it(self, other: ImageSource) -> None:
        request = asked(images=[(1, other), (2, self.FILE), (4, CAT)])
        assert request.input is not None
        [message] = request.input
        assert message["content"] == [
            {"type": "input_text", "text": question_in(request)},
            {"type": "input_text", "text": "Image 1:"},
            {"type": "input_image", "image_url": other.url},
            {"type": "input_text", "text": "Image 2:"},
            {"type": "input_image", "file_id": "file-1", "detail": "high"},
            {"type": "input_text", "text": "Image 4:"},
            {"type": "input_image", "image_url": CAT.url},
        ]


class TestChange:
    REMOTE = ImageSource("https://images.example.com/cat.png")

    def test_what_is_in_the_request_does_not_change(self) -> None:
        assert not asked(images=[(1, CAT), (2, DOG)]).may_change

    @pytest.mark.parametrize("images", [[(1, REMOTE)], [(1, REMOTE), (2, CAT)], [(1, CAT), (2, DOG), (3, REMOTE)]])
    def test_one_image_that_may_change_is_enough(self, images: list[tuple[int, ImageSource]]) -> None:
        assert asked(images=images).may_change

    @pytest.mark.parametrize(
        "source", [REMOTE, ImageSource("file-1", holder="openai"), ImageSource.referenced("gs://a/b")]
    )
    def test_one_image_that_is_elsewhere_is_enough(self, source: ImageSource) -> None:
        assert asked(images=[(1, CAT), (2, source)]).is_elsewhere
        assert not asked(images=[(1, CAT), (2, DOG)]).is_elsewhere


@dataclass(frozen=True)
class Ingredients:
    """All inputs that decide an answer, and the numbers of images."""

    scope: str
    secret: bytes
    model: str
    images: tuple[tuple[int, ImageSource], ...]
    question: str
    instructions: str | None
    max_output_tokens: int

    @property
    def request(self) -> VisionRequest:
        tenant = Tenant(self.scope, self.secret)
        return vision_request(tenant, self.model, self.images, self.question, self.instructions, self.max_output_tokens)

    @property
    def what_matters(self) -> Ingredients:
        """The same, with one spelling for inputs that are equivalent."""
        return replace(
            self,
            question=self.question.strip(),
            instructions=INSTRUCTIONS if self.instructions is None else self.instructions,
            images=tuple((number if len(self.images) > 1 else 1, source) for number, source in self.images),
        )


_labels = st.sampled_from(["", "low", "Image 1:", "Image 2:", "1500", "eyes", "What is it?", "image/png", "1", "None"])
_sources = st.builds(
    ImageSource,
    st.sampled_from([CAT.url, DOG.url, "data:image/webp;base64,AAAA", "https://images.example.com/cat.png", "file-1"]),
    st.none() | st.sampled_from(["low", "high", "", "None"]),
    st.none() | st.sampled_from(["image/png", "image/webp"]),
    st.sampled_from([None, "openai", "anthropic"]),
)
ingredients = st.builds(
    Ingredients,
    scope=st.sampled_from(["team:research", "team:sales", "key:1", ""]),
    secret=st.sampled_from([b"secret", b"other secret"]),
    model=_labels,
    images=st.lists(st.tuples(st.integers(1, 3), _sources), min_size=1, max_size=3).map(tuple),
    question=_labels | texts | _labels.map(" {} ".format),
    instructions=st.none() | _labels | st.just(INSTRUCTIONS),
    max_output_tokens=st.sampled_from([1, 15, 150, 1500]),
)


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Ingredients, Ingredients]:
    """Two requests that differ in one or two ingredients."""
    one, elsewhere = draw(ingredients), draw(ingredients)
    names = draw(st.sets(st.sampled_from(list(Ingredients.__annotations__)), min_size=1, max_size=2))
    return one, replace(one, **{name: getattr(elsewhere, name) for name in names})


class TestKey:
    USUAL = Ingredients("team:research", b"secret", "eyes", ((1, CAT),), "What is it?", None, 1500)

    @pytest.mark.parametrize(
        "changed",
        [
            {"scope": "team:sales"},
            {"secret": b"other secret"},
            {"model": "other-eyes"},
            {"images": ((1, DOG),)},
            {"images": ((1, ImageSource("data:image/webp;base64,AAAA")),)},
            {"images": ((1, ImageSource(CAT.url, detail="high")),)},
            {"images": ((1, ImageSource(CAT.url, format="image/png")),)},
            {"images": ((1, CAT), (2, DOG))},
            {"images": ((1, CAT), (2, CAT))},
            {"question": "Who is it?"},
            {"question": ""},
            {"instructions": "Read it."},
            {"max_output_tokens": 1501},
        ],
        ids=str,
    )
    def test_whatever_can_change_the_answer_changes_it(self, changed: dict[str, Any]) -> None:
        assert replace(self.USUAL, **changed).request.key != self.USUAL.request.key

    @given(neighbours() | st.tuples(ingredients, ingredients))
    @example((USUAL, replace(USUAL, question=" What is it?\n")))
    @example((USUAL, replace(USUAL, instructions=INSTRUCTIONS)))
    @example((USUAL, replace(USUAL, images=((2, CAT),))))
    @example((replace(USUAL, images=((1, CAT), (2, DOG))), replace(USUAL, images=((1, DOG), (2, CAT)))))
    @example((replace(USUAL, images=((1, CAT), (2, DOG))), replace(USUAL, images=((1, CAT), (3, DOG)))))
    def test_it_is_the_same_if_and_only_if_all_that_matters_is(self, pair: tuple[Ingredients, Ingredients]) -> None:
        one, other = pair
        assert (one.request.key == other.request.key) is (one.what_matters == other.what_matters)

    def test_it_comes_from_the_tenant_who_asks(self) -> None:
        asked_for: list[tuple[str, ...]] = []

        class Spy(Tenant):
            def key(self, *parts: str) -> str:
                asked_for.append(parts)
                return "the key"

        assert asked(tenant=Spy("team:research", b"secret")).key == "the key"
        assert len(asked_for) == 1

    def test_the_image_itself_is_no_part_of_what_is_signed(self) -> None:
        """Its digest is signed instead, so that megabytes are read once, and not again on the event loop."""

        class Spy(Tenant):
            def key(self, *parts: str) -> str:
                assert not any("base64" in part for part in parts)
                assert CAT.digest in parts
                return "the key"

        asked(tenant=Spy("team:research", b"secret"))

    def test_what_is_left_out_of_a_long_question_does_not_matter_but_its_length(self) -> None:
        edge = "x" * MAX_QUESTION_CHARACTERS
        assert asked(question=f"{edge}aa{edge}").key == asked(question=f"{edge}bb{edge}").key
        assert asked(question=f"{edge}aa{edge}").key != asked(question=f"{edge}bbb{edge}").key

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"model": "eyes", "max_output_tokens": 12}, {"model": "eyes1", "max_output_tokens": 2}),
            ({"max_output_tokens": 12, "instructions": "3."}, {"max_output_tokens": 1, "instructions": "23."}),
        ],
    )
    def test_its_parts_do_not_run_together(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        assert asked(**one).key != asked(**other).key

    def test_another_wording_of_the_gateways_own_changes_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = asked().key
        monkeypatch.setattr("litellm_image_analysis.analysis.prompt._VERSION", "next")
        assert asked().key != before
