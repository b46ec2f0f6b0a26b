"""Quiz of notebook 06. Numbers are computed in tests/test_lab06.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "6.q1",
        "A layer with d_in = 2048 and d_out = 5504 was trained with two shared experts and eight"
        " routed ones, all of rank 16. How many adapter numbers are left in it after the drop?",
        (
            Choice("120,832", "That is one shared expert of rank 16; there are two: rank 32."),
            Choice(
                "241,664",
                "One pair of rank 2 · 16: 32 · (2048 + 5504). The routed experts, four times as"
                " many numbers, and their router are gone.",
                right=True,
            ),
            Choice("258,056", "This counts the router as well. Nothing is left for it to open."),
            Choice("1,224,712", "That is the layer before the drop, router included."),
        ),
        number=241_664,
    ),
    Question(
        "6.q2",
        "That shared expert, with lora_alpha = 32, is to be saved as an ordinary LoRA of rank 32."
        " Which lora_alpha must the file say, so that the output stays the same?",
        (
            Choice("16", "16 / 32 is a quarter of the scale that was trained."),
            Choice("32", "32 / 32 = 1. In training the scale was 32 / 16 = 2: half is lost."),
            Choice(
                "64",
                "The scale is alpha over the rank of one expert, 32 / 16 = 2, and 64 / 32 is 2.",
                right=True,
            ),
        ),
        number=64,
    ),
    Question(
        "6.q3",
        "Shared and routed experts are trained together, without noise dropout. What makes the"
        " shared one learn the facts by itself?",
        (
            Choice(
                "Nothing in the loss does.",
                "The loss sees the sum of both. Any split that gives the right sum is as good as"
                " another, and the drop then takes away whatever the routed part holds.",
                right=True,
            ),
            Choice(
                "Its weight of 1.",
                "It works for every token, but nothing asks it to work alone.",
            ),
            Choice(
                "Its higher rank.",
                "It has room for them. Room does not decide where the gradient puts them.",
            ),
            Choice(
                "The router sends facts to it.",
                "The router chooses among the routed experts; the shared one is outside.",
            ),
        ),
    ),
    Question(
        "6.q4",
        "After stage 1 and the drop, formats are answered worse than before. What have you shown?",
        (
            Choice(
                "The routed experts were not removed properly.",
                "A correct drop can do the same, where the routed experts carried the formats.",
            ),
            Choice(
                "Something that both a correct and a faulty drop can cause.",
                "Compare the update with the shared expert's own, layer by layer. A score cannot"
                " tell the two apart.",
                right=True,
            ),
            Choice(
                "Stage 1 was too short.",
                "Perhaps, but this number does not show it: look at the score before the drop.",
            ),
        ),
    ),
    Question(
        "6.q5",
        "Use and own score of eight experts have a rank correlation near 0. What follows?",
        (
            Choice(
                "The router works badly.",
                "It is trained for pairs of experts, chosen token by token. An expert that is"
                " weak when it serves every token alone may be right where it is opened.",
            ),
            Choice(
                "How often an expert is used does not tell how well it does alone.",
                "That is all the number says. With eight experts it is also very uncertain: look"
                " at its interval over seeds.",
                right=True,
            ),
            Choice(
                "The rarely used experts can be left out.",
                "For that, leave them out and measure.",
            ),
        ),
    ),
    Question(
        "6.q6",
        "Which of these can the small model of this notebook support?",
        (
            Choice(
                "MedCare should not drop its Noise Aggregator.",
                "MedCare is a thousand times larger, with exams for facts. Here is another model"
                " and another corpus.",
            ),
            Choice(
                "Dropping routed experts does not improve knowledge in every model.",
                "One model in which it does not is enough against 'always'. It says nothing on"
                " how often.",
                right=True,
            ),
            Choice(
                "Noise dropout makes the drop safe in medical models.",
                "No medical model was tested, and safety is a matter for clinical studies.",
            ),
            Choice(
                "Routed experts absorb noise.",
                "No noise was put into the data here, so nothing could absorb it.",
            ),
        ),
    ),
)
