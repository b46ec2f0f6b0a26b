"""Quiz of notebook 02. Numbers are computed in tests/test_lab02.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "2.q1",
        "How many bits does a weight take in nf4 with blocks of 64 and double quantisation (8 bits"
        " a scale, and 32 bits for 256 scales)?",
        (
            Choice("4", "That leaves out the scales, without which the codes mean nothing."),
            Choice("4.5", "That is without double quantisation: 32 bits for 64 weights."),
            Choice(
                "4.127",
                "4 + 8 / 64 + 32 / (64 · 256) = 4.127. The second level is almost free.",
                right=True,
            ),
            Choice("8", "Two codes share one byte, so a code takes half of it."),
        ),
        number=4.127,
    ),
    Question(
        "2.q2",
        "One weight of a block is 50 times larger than all others. What happens to the others?",
        (
            Choice(
                "Most of them become zero.",
                "The scale is the large one. Divided by it the others lie near zero, where the"
                " nearest level is zero itself. Smaller blocks confine the damage.",
                right=True,
            ),
            Choice("Nothing: each weight has a code of its own.", "But they share the scale."),
            Choice("They become 50 times larger.", "Read back they have the right size at most."),
        ),
    ),
    Question(
        "2.q3",
        "Which numbers change while QLoRA trains?",
        (
            Choice("The codes.", "They are whole numbers; a small step cannot move them."),
            Choice("The scales of the blocks.", "They could, but QLoRA keeps them frozen."),
            Choice(
                "A and B.",
                "Both are kept in 16 or 32 bits. The gradient passes through the frozen weight to"
                " the layers below.",
                right=True,
            ),
            Choice("All of them, a little.", "Then nothing would be saved in gradients."),
        ),
    ),
    Question(
        "2.q4",
        "You merge a trained update into the weight and store the sum in nf4 again. Why is that"
        " risky?",
        (
            Choice(
                "The sum is rounded, and a small update is smaller than the step between levels.",
                "Many weights fall back on the level they had. Merge into 16 bits, or keep the"
                " adapter beside the base.",
                right=True,
            ),
            Choice("A and B do not have the shape of the weight.", "Their product B A has."),
            Choice("nf4 cannot store negative numbers.", "Seven of its levels are negative."),
        ),
    ),
    Question(
        "2.q5",
        "A model of 1.8 billion weights is trained with QLoRA on long texts. What takes most of the"
        " memory beside the base?",
        (
            Choice("The codes.", "They belong to the base, and are its smallest form."),
            Choice("Adam's moments.", "They are kept for A and B alone: about one percent."),
            Choice(
                "The activations.",
                "They grow with the tokens of a batch and are not stored in four bits. Recomputing"
                " them in the backward pass saves memory and costs time.",
                right=True,
            ),
        ),
    ),
    Question(
        "2.q6",
        "Which of these claims can nano support?",
        (
            Choice(
                "Four bits cost a 13-billion model no accuracy on medical exams.",
                "No exam was taken, and large models have outlier channels that nano lacks.",
            ),
            Choice(
                "Rounding to four bits never does harm.",
                "The failure lab shows four bits that destroy everything: one large channel.",
            ),
            Choice(
                "There is a model whose answers survive nf4 and do not survive two bits.",
                "One model is enough for a claim that says 'there is'. How another one takes it has"
                " to be measured there.",
                right=True,
            ),
        ),
    ),
)
