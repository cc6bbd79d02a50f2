"""The messages for a language model that serves as teacher."""

from __future__ import annotations

from lasar_kit.core.item_text import clean
from lasar_kit.core.reasoning.request import ReasoningItem, ReasoningRequest

INSTRUCTIONS = """\
You explain what a customer's purchases say about what the customer will look for next.
Reason in these stages, leaving out those that the purchases do not support:
- behavioral evidence: product types, brands, prices and concerns that the purchases show;
- latent preferences: the tastes and needs behind them;
- user intent: what the customer is working towards now;
- recommendation formulation: which properties a fitting next product has;
- denoised sequence: the purchases that matter, without those that are beside the point.
Write each stage as a step that begins with a line "Step 1: heading", "Step 2: heading" and so on, followed \
by one to three plain sentences. Write as many steps as the purchases support, eight at most.
Describe properties only: name no product that is not in the list, and end without a recommendation."""
"""After the five stages of GREAM's reasoning that the paper's teacher follows (E.2)."""


def messages(request: ReasoningRequest, instructions: str | None, show_target: bool) -> tuple[str, str]:
    """The instructions and the question; the target is in the question only if it is to be shown."""
    lines = ["The customer's purchases, oldest first:"]
    lines += [f"{number}. {item_line(item)}" for number, item in enumerate(request.history, start=1)]
    if show_target and request.target is not None:
        lines += [
            "",
            f"The purchase that came next, which your text must not name: {item_line(request.target)}",
        ]
    return instructions or INSTRUCTIONS, "\n".join(lines)


def told_title(request: ReasoningRequest, show_target: bool) -> str:
    """The title of the item that the question tells came next; empty where it tells of none."""
    return request.target.title if show_target and request.target is not None else ""


def item_line(item: ReasoningItem) -> str:
    """One line with what is known of an item.

    >>> item_line(ReasoningItem("Red Polish", "OPI", "", "3.5"))
    'Red Polish (brand: OPI; price: 3.5)'
    """
    named = (("brand", item.brand), ("categories", item.categories), ("price", item.price))
    details = "; ".join(f"{name}: {text}" for name, value in named if (text := clean(value)))
    title = clean(item.title) or "an item without a title"
    return f"{title} ({details})" if details else title
