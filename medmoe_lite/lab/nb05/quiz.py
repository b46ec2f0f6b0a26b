"""Quiz of notebook 05. Numbers are computed in tests/test_lab05.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "5.q1",
        "At up_proj of Qwen1.5-1.8B (2048 to 5504) stand 8 experts of rank 16 and their router with"
        " a bias. How many experts of rank one, each with its router row and bias, fit into the"
        " same numbers?",
        (
            Choice("128", "8 · 16 columns, but 120 further router rows are not paid for."),
            Choice(
                "102",
                "The budget is 128 · 7552 + 8 · 2049 = 983,048. One rank-one expert costs 7552"
                " + 2049 = 9601, and 983,048 / 9601 is 102 and a bit.",
                right=True,
            ),
            Choice("64", "A router row of 2049 costs much less than a column of 7552."),
            Choice("8", "An expert of rank one is much cheaper than one of rank 16."),
        ),
        number=102,
    ),
    Question(
        "5.q2",
        "One plan has 44 experts and scores higher than an even plan of 40. What was shown about"
        " depth?",
        (
            Choice(
                "Nothing yet.",
                "The plans differ in size as well. Spend the same 40 on both and race again.",
                right=True,
            ),
            Choice("Deep experts are better.", "Perhaps four more experts are, anywhere."),
            Choice(
                "It is enough that the routers are equal.",
                "They are not: each further expert has a router row too.",
            ),
        ),
    ),
    Question(
        "5.q3",
        "In the group term somebody writes 1 + δ where sample and expert are of one kind. What does"
        " training do?",
        (
            Choice("Nothing, the term is symmetric in the sign.", "It is not: see exercise 5.6."),
            Choice(
                "It stops with an error.",
                "No error: the loss falls as well as with the right sign.",
            ),
            Choice(
                "General samples go to the medical experts.",
                "All Z become equal, so what is multiplied by more is used less: the own kind.",
                right=True,
            ),
            Choice(
                "All experts are used alike.", "That is what δ = 0 asks for, without any groups."
            ),
        ),
    ),
    Question(
        "5.q4",
        "Two experts, each with weight 1/2. What does (½B1 + ½B2)(½A1 + ½A2) hold?",
        (
            Choice("Half of B1A1 and half of B2A2.", "That is the average of the products."),
            Choice(
                "A quarter each of B1A1, B2A2, B1A2 and B2A1.",
                "The wanted ½B1A1 + ½B2A2 is there at half its size, beside two products that no"
                " expert computes.",
                right=True,
            ),
            Choice("All of B1A1 and B2A2.", "Each factor carries a half; together a quarter."),
        ),
    ),
    Question(
        "5.q5",
        "When is a soft merge of token-routed experts exact?",
        (
            Choice("When the rank of the merged LoRA is large.", "The full rank is kept already."),
            Choice("Always, B A is linear.", "Linear in the experts, but the weights move with x."),
            Choice("When top-k is 1.", "Then the open expert still changes from token to token."),
            Choice(
                "When every token of the batch has the same gate weights.",
                "Then the mean weights are each token's own. The more they move, the larger the"
                " error.",
                right=True,
            ),
        ),
    ),
    Question(
        "5.q6",
        "Which of these can the small model of this notebook support?",
        (
            Choice(
                "Med-MoE-LoRA's published gains are real.",
                "We do not have its tables, and built our own reading of its abstract.",
            ),
            Choice(
                "Deep layers of a 24-layer model need more experts.",
                "Five layers of another size cannot say that.",
            ),
            Choice(
                "The group term with the right sign moves routing weight to the own group.",
                "That is a property of the term, and two samples are enough to show it.",
                right=True,
            ),
            Choice(
                "Preservation groups keep a model safe for patients.",
                "No patient, no clinician and no real question was part of this.",
            ),
        ),
    ),
)
