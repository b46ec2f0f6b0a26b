"""Quiz of notebook 09. The number is computed in tests/test_lab09.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "9.q1",
        "A vocabulary of 151,936 words, 4 texts of 1,024 tokens, logits for every token: 2 bytes,"
        " 4 for the loss, 4 for their gradient. How many GiB?",
        (
            Choice("1.2", "That is the first copy in 16 bits alone."),
            Choice("2.3", "That is one copy in 32 bits; there are the 16 bits and a gradient too."),
            Choice(
                "5.8", "4,096 · 151,936 · 10 bytes: more than all weights in 4 bits.", right=True
            ),
            Choice("0.08", "That would be a vocabulary as wide as the hidden state."),
        ),
        number=5.8,
    ),
    Question(
        "9.q2",
        "The plan is refused, and logits are the largest part. What helps?",
        (
            Choice(
                "Four bits for the base.",
                "It shrinks the weights of the linear layers. Logits are no weights.",
            ),
            Choice(
                "Checkpointing.",
                "It keeps less of the blocks. The logits stand after the last block.",
            ),
            Choice(
                "Logits for the answers alone.",
                "Prompt tokens have no loss, so nobody asks for their logits. The package's"
                " trainer does it by itself.",
                right=True,
            ),
            Choice("A smaller rank.", "Adapters do not touch the width of the vocabulary."),
        ),
    ),
    Question(
        "9.q3",
        "Before stage 2 the attention's adapter is merged into a base in 4 bits. Why do these"
        " layers rest unpacked afterwards?",
        (
            Choice(
                "Packing again would round most of the small update away.",
                "The grid of 16 values a block is coarser than what was learned. The package"
                " refuses to do it silently, and unpacking costs memory that a plan must hold.",
                right=True,
            ),
            Choice("Attention cannot be in 4 bits.", "In stage 1 it was in 4 bits, and it worked."),
            Choice(
                "A merged layer has to learn on.",
                "It is frozen. In stage 2 the shared experts and the alignment learn.",
            ),
        ),
    ),
    Question(
        "9.q4",
        "Why does Adam in pure float16 give no number after its first step with a new LoRA?",
        (
            Choice(
                "The loss is too large for float16.",
                "It was about three. Float16 holds numbers up to 65,504.",
            ),
            Choice(
                "A has a gradient of exactly zero, and Adam's epsilon is zero in float16.",
                "B is zero, so nothing reaches A. Adam divides 0 by 0 + epsilon, and 1e-8 rounds"
                " to 0: zero by zero is no number.",
                right=True,
            ),
            Choice(
                "Float16 has no negative numbers.",
                "It has a sign, five bits of exponent, ten of fraction.",
            ),
        ),
    ),
    Question(
        "9.q5",
        "What do the runs of this notebook support?",
        (
            Choice(
                "MedCare's recipe improves Qwen1.5-1.8B on medical exams.",
                "No exam was taken, and on most machines no 1.8B model was loaded.",
            ),
            Choice(
                "The 1.8B model forgets as much as nano does.",
                "No 1.8B run is recorded here. How it forgets has to be measured on it.",
            ),
            Choice(
                "The two stages run on a base in 4 bits, and the plan counts the true sizes.",
                "That is what was shown: a way that works, and counts that need no card.",
                right=True,
            ),
            Choice(
                "Training takes the hours of the table.",
                "The share of a card's peak in it is an assumption, written as one.",
            ),
        ),
    ),
)
